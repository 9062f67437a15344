# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of weights and of an adapter's state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from grata_monai.adapters import build_adapter
from grata_monai.adapters.check_tools import tiny_images, tiny_network
from grata_monai.networks.source_weights import read_weights
from grata_monai.networks.weight_files import read_tensors
from tests.fuzz import samples
from tests.fuzz.mutations import files, json_values
from tests.fuzz.target import Target, written


def _weights(name: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, data: bytes) -> None:
        path = written(folder, name, data)
        tensors, _ = read_tensors(path)
        for value in tensors.values():
            assert value.dtype == torch.float32 or not value.is_floating_point()
            assert bool(torch.isfinite(value).all())
        read_weights(path)

    return read


@functools.cache
def _bound() -> tuple[Any, dict[str, Any]]:
    adapter = build_adapter("grata", life_cycle="never", seed=0)
    adapter.bind(tiny_network())
    adapter.adapt(tiny_images()[0])
    return adapter, adapter.state_dict()


@st.composite
def _states(draw: st.DrawFn) -> dict[str, Any]:
    """Return the state of an adapter with up to three places changed."""
    import copy

    state = copy.deepcopy(_bound()[1])
    for _ in range(draw(st.integers(0, 3))):
        place: Any = state
        while True:
            keys = sorted(place, key=str) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, (dict, list)) and len(inner) and draw(st.integers(0, 4)):
                place = inner
                continue
            break
        how = draw(st.integers(0, 6))
        if how == 0:
            del place[key]
            if not state:
                return state
        elif how == 1:
            place[key] = torch.zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
        elif how == 2 and isinstance(inner, torch.Tensor):
            place[key] = inner.to(draw(st.sampled_from((torch.float64, torch.int32, torch.bool))))
        elif how == 3 and isinstance(inner, torch.Tensor):
            place[key] = inner.reshape(-1)[: draw(st.integers(0, 3))]
        else:
            place[key] = draw(json_values(("step", "lr", "x")))
    return state


def _adapter_state(_: Path, state: dict[str, Any]) -> None:
    adapter, good = _bound()
    adapter.load_state_dict(good)
    try:
        adapter.load_state_dict(state)
    except ValueError:
        assert _same(adapter.state_dict(), good), "a refused state left something behind"
        raise


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


TARGETS = {
    "weights": Target(files(*samples.weights()), _weights("x.pt"), names="x.pt"),
    "adapter_state": Target(_states(), _adapter_state, refusals=(ValueError,)),
}
if samples.safetensors():
    _inputs = files(*samples.safetensors())
    TARGETS["safetensors"] = Target(_inputs, _weights("x.safetensors"), names="x.safetensors")
