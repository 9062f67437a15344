# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Methods under automatic mixed precision, with half-precise networks, with images of metadata."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from grata_monai.adapters import build_adapter
from grata_monai.adapters.check_tools import tiny_images, tiny_network

METHODS = {
    "alpha_bn": {},
    "cotta": {"views": 2},
    "detta": {"corrupted_copies": 2},
    "diga": {"confidence": 0.5},
    "dltta": {"neighbours": 2, "memory_size": 3},
    "domain_adaptor": {},
    "dua": {"views": 2},
    "intent": {},
    "medbn": {},
    "memo": {"views": 2},
    "pass": {},
    "sar": {},
    "vptta": {"alpha": 0.3, "neighbours": 1, "memory_size": 3},
}
IMAGES = tiny_images(3)
HALF = (torch.float16, torch.bfloat16)


def tensors(state):
    if isinstance(state, torch.Tensor):
        yield state
    for value in state.values() if isinstance(state, dict) else ():
        yield from tensors(value)
    for value in state if isinstance(state, list | tuple) else ():
        yield from tensors(value)


def stream(name, network=None, images=IMAGES, dtype=None):
    """Return logits and state after images, all of which must have led to an update."""
    network = tiny_network() if network is None else network
    with build_adapter(name, **METHODS[name]).bound(network) as adapter:
        found = []
        for image in images:
            with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                found.append(adapter.adapt(image))
            assert adapter.trace_["updated"] == 1.0
        return torch.cat(found), adapter.state_dict()


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", METHODS)
def test_mixed_precision_changes_little_and_what_is_learned_is_single(name, dtype):
    expected, _ = stream(name)
    found, state = stream(name, dtype=dtype)
    assert found.dtype is dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)
    state["method"].pop("memory", None) if name == "dltta" else None  # holds predictions
    assert not any(tensor.dtype in HALF for tensor in tensors(state))


@pytest.mark.parametrize("name", METHODS)
def test_networks_of_half_precision(name):
    expected, _ = stream(name)
    images = [image.bfloat16() for image in IMAGES]
    found, _ = stream(name, network=tiny_network().bfloat16(), images=images)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_kept_of_images_has_metadata(name):
    expected, _ = stream(name)
    found, state = stream(name, images=[MetaTensor(image) for image in IMAGES])
    assert torch.equal(found.as_subclass(torch.Tensor), expected)
    assert {type(tensor) for tensor in tensors(state)} == {torch.Tensor}
