# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of reading checkpoint files that may be anything."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from PIL import Image

from grata_monai.networks.weight_files import read_tensors, some

TENSORS = {"a.weight": torch.tensor([1.0, 2.0]), "a.count": torch.tensor(3)}


def save(path, content):
    torch.save(content, path)
    return path


class Malicious:
    """Makes a folder when unpickled without care."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def test_a_plain_state_dict(tmp_path):
    tensors, beside = read_tensors(save(tmp_path / "a.pt", TENSORS))
    torch.testing.assert_close(tensors, TENSORS)
    assert beside == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_values_become_float32(tmp_path, dtype):
    content = {"w": torch.tensor([0.5, -2.0], dtype=dtype), "n": torch.tensor(7)}
    tensors, _ = read_tensors(save(tmp_path / "a.pt", content))
    assert tensors["w"].dtype == torch.float32
    assert tensors["w"].tolist() == [0.5, -2.0]
    assert tensors["n"].dtype == torch.int64


@pytest.mark.parametrize("key", ["state_dict", "network", "model"])
def test_nested_state_dicts_are_found_and_the_rest_named(tmp_path, key):
    content = {key: {"network": TENSORS, "best": 0.9}, "optimizer": {"lr": 0.1}, "epoch": 3}
    tensors, beside = read_tensors(save(tmp_path / "a.pt", content))
    assert list(tensors) == ["a.weight", "a.count"]
    assert beside == ("optimizer", "epoch", "best")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_wrapper_prefixes_are_taken_off(tmp_path, prefix):
    content = {prefix + name: value for name, value in TENSORS.items()}
    tensors, _ = read_tensors(save(tmp_path / "a.pt", content))
    assert list(tensors) == list(TENSORS)


def test_a_dictionary_within_itself_ends(tmp_path):
    content = {"epoch": 1}
    content["model"] = content
    with pytest.raises(ValueError, match="holds no dictionary of named tensors"):
        read_tensors(save(tmp_path / "a.pt", content))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint file .*none\.pth; check the path"):
        read_tensors(tmp_path / "none.pth")


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder, not a checkpoint file"):
        read_tensors(tmp_path)


def text(path):
    path.write_text("no checkpoint at all\n")


def empty(path):
    path.touch()


def picture(path):
    Image.new("RGB", (4, 4)).save(path, "PNG")


def cut_off(path):
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("make", [text, empty, picture, cut_off])
def test_files_that_are_no_checkpoint(tmp_path, make):
    path = tmp_path / "a.pth"
    make(path)
    with pytest.raises(ValueError, match=r"a\.pth is not a checkpoint.*Accepted are the authors'"):
        read_tensors(path)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, form):
    path, trap = tmp_path / "a.pth", tmp_path / "made"
    if form == "torch":
        torch.save({"a.weight": torch.zeros(1), "x": Malicious(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(trap), protocol=2))
    with pytest.raises(ValueError, match=r"holds Python objects \(\w+\.mkdir\).*Accepted"):
        read_tensors(path)
    assert not trap.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), tmp_path / "a.ts")
    with pytest.raises(ValueError, match="TorchScript program, which cannot be adapted"):
        read_tensors(tmp_path / "a.ts")


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, torch.zeros(2), {}])
def test_other_content(tmp_path, content):
    with pytest.raises(ValueError, match="holds no dictionary of named tensors"):
        read_tensors(save(tmp_path / "a.pt", content))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(tmp_path, value):
    content = {**TENSORS, "bad.bias": torch.tensor([value], dtype=torch.float16)}
    with pytest.raises(ValueError, match=r"not finite, in bad\.bias;"):
        read_tensors(save(tmp_path / "a.pt", content))


def test_some_names():
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdef")) == "a, b, c, d and 2 more"
