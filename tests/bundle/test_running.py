# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How the configs run the network: precision, memory, reading ahead, windows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from grata_monai import execution
from grata_monai.adapters import build_adapter
from grata_monai.bundle import check_fit, check_windows, fast_precision, make_execution
from grata_monai.execution import Execution
from grata_monai.inferers import AdaptationWindows, AdaptiveInferer
from grata_monai.networks import source_network
from tests.bundle.conftest import SIZE


@pytest.fixture
def logits(monkeypatch):
    """Collect what the adaptive inferer returns, on its way."""
    collected = []
    call = AdaptiveInferer.__call__

    def collecting(self, *args, **kwargs):
        collected.append(call(self, *args, **kwargs))
        return collected[-1]

    monkeypatch.setattr(AdaptiveInferer, "__call__", collecting)
    return collected


def settings(tmp_path):
    return json.loads((tmp_path / "output" / "settings.json").read_text())


def test_make_execution_gives_what_is_asked_for():
    assert make_execution() == Execution()
    for asked in {"precision": "bf16", "compile": True}, {"precision": "tf32", "checkpoint": True}:
        assert make_execution(**asked) == Execution(**asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"precision": "bf61"}, r"^Error: The 'precision' .*did you mean 'bf16'"),
        ({"compile": "yes"}, r"^Error: The 'compile' parameter of the bundle must be True or"),
        ({"compile": True, "checkpoint": True}, r"^Error: Execution cannot checkpoint a compiled"),
        ({"checkpoint": 1}, r"^Error: The 'checkpoint' parameter of the bundle must be True or"),
    ],
)
def test_make_execution_refuses(asked, message):
    with pytest.raises(SystemExit, match=message):
        make_execution(**asked)


def test_fast_precision_of_a_device():
    assert fast_precision("cpu") == execution.fast_precision(torch.device("cpu"))
    with pytest.raises(SystemExit, match=r"^Error: The device 'cuda:77' cannot be used"):
        fast_precision("cuda:77")


def test_compiling_without_a_compiler_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with torch.device("meta"):
        network = source_network()
    with pytest.raises(SystemExit, match=r"^Error: compile=True needs a C\+\+ compiler"):
        check_fit(build_adapter("source"), network.to_empty(device="cpu"), Execution(compile=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"window_size": 100}, r"^Error: The 'window_size' must be a multiple of 32"),
        ({"window_size": 32}, r"^Error: The 'window_size' parameter of the bundle must be"),
        ({"window_size": 160}, r"^Error: The 'window_size' must not exceed the 'image_size', 128"),
        ({"window_count": 0}, r"^Error: The 'window_count' parameter of the bundle must be"),
        ({"overlap": -0.1}, r"^Error: The 'overlap' parameter of the bundle must be"),
        ({"overlap": 1.0}, r"^Error: The 'overlap' must be below 1"),
    ],
)
def test_wrong_windows(changed, message):
    right = {"window_size": 64, "window_count": 2, "overlap": 0.5, "image_size": 128}
    check_windows(**right)
    with pytest.raises(SystemExit, match=message):
        check_windows(**right | changed)


def test_reading_ahead_changes_no_bit(infer, logits, tmp_path):
    for prefetch in (0, 1):
        infer(method="tent", prefetch=prefetch, output_dir=str(tmp_path / str(prefetch)))
    without, ahead = logits[:2], logits[2:]
    assert len(without) == len(ahead) == 2
    assert all(torch.equal(one, other) for one, other in zip(without, ahead, strict=True))
    traces = [pd.read_csv(tmp_path / str(prefetch) / "trace.csv") for prefetch in (0, 1)]
    pd.testing.assert_frame_equal(*traces)
    for path in (tmp_path / "0" / "predictions").iterdir():
        assert (tmp_path / "1" / "predictions" / path.name).read_bytes() == path.read_bytes()


def test_the_fast_preset_is_the_precision_of_the_device(infer, logits, monkeypatch, tmp_path):
    """In bfloat16 here, whatever this machine is fast at; close to float32, not the same.

    Unadapted, for statistics of four values, in the deepest layers here, would magnify rounding.
    """
    monkeypatch.setattr(execution, "fast_precision", lambda device: "bf16")
    infer(method="source")
    assert settings(tmp_path)["precision"] == "fp32"
    workflow = infer(method="source", overlays=["fast"], overwrite=True)
    assert workflow.inferer.execution == Execution(precision="bf16")
    assert settings(tmp_path)["precision"] == "bf16"
    for exact, fast in zip(logits[:2], logits[2:], strict=True):
        assert fast.dtype == torch.float32
        assert not torch.equal(fast, exact)
        assert (fast - exact).abs().mean() < 0.05 * exact.std()


def test_checkpointing_changes_no_bit(infer, logits):
    infer(method="tent", beta=0.1)
    workflow = infer(method="tent", beta=0.1, checkpoint=True, overwrite=True)
    assert workflow.inferer.execution == Execution(checkpoint=True)
    assert all(torch.equal(*pair) for pair in zip(logits[:2], logits[2:], strict=True))


@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_kept_during_the_run_only(infer, photographs, monkeypatch, keep):
    asked = []
    monkeypatch.setattr(execution, "keep_freed_memory", lambda keep=True: asked.append(keep))
    infer(dataset_dir=str(photographs), domain=None, method="source", save=False, keep_memory=keep)
    assert asked == ([True, False] if keep else [])


def test_windows_are_adapted_to_and_predicted(infer, logits, tmp_path):
    """Adapting changes nothing at beta 0, so that the windows predict as MONAI's inferer alone."""
    size = 2 * SIZE
    shared = {"method": "tent", "image_size": size, "beta": 0.0, "life_cycle": "per_image"}
    windowed = {"window_size": SIZE, "window_count": 3, "overlap": 0.0}
    workflow = infer(overlays=["sliding_window"], **shared, **windowed)
    assert isinstance(workflow.inferer.windows, AdaptationWindows)
    assert settings(tmp_path).items() >= (windowed | {"image_size": size}).items()
    assert (pd.read_csv(tmp_path / "output" / "trace.csv")["windows"] == 3).all()
    predictions = sorted((tmp_path / "output" / "predictions").glob("*_seg.png"))
    assert [np.asarray(Image.open(path)).shape for path in predictions] == [(SIZE, SIZE)] * 2
    inferer, network = AdaptiveInferer(build_adapter("ptbn")), workflow.evaluator.network
    batch = next(iter(workflow.evaluator.data_loader))
    with torch.no_grad():
        for rows in (slice(0, SIZE), slice(SIZE, size)):
            for columns in (slice(0, SIZE), slice(SIZE, size)):
                window = batch["image"][..., rows, columns].contiguous()
                expected = inferer(window, network).as_tensor()
                found = logits[0][..., rows, columns].as_tensor()
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_window_that_is_too_large_is_one_line(infer):
    with pytest.raises(SystemExit, match=r"^Error: The 'window_size' must not exceed"):
        infer(overlays=["sliding_window"])


def test_nothing_of_this_happens_without_being_asked_for(infer):
    workflow = infer(only_initialize=True)
    assert workflow.parser.get_parsed_content("dataloader").prefetch == 0  # on the CPU
    assert workflow.inferer.windows is None
    assert type(workflow.inferer.inferer).__name__ == "SimpleInferer"
    assert workflow.inferer.execution == Execution()
