# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that run no code and fill no memory, and safetensors."""

from __future__ import annotations

import sys
import zipfile

import pytest
import torch

from grata_monai.networks import read_weights
from grata_monai.networks.weight_files import read_tensors

TENSORS = {"encoder.conv1.weight": torch.tensor([[0.5, -2.0]]), "output.bias": torch.zeros(2)}


def test_safetensors_give_what_torch_gives(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    half = {name: value.half() for name, value in TENSORS.items()}
    save_file(half, tmp_path / "a.SAFETENSORS", metadata={"epoch": "3"})
    torch.save(half, tmp_path / "a.pt")
    ours, theirs = read_tensors(tmp_path / "a.SAFETENSORS"), read_tensors(tmp_path / "a.pt")
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)
    torch.testing.assert_close(ours[0], TENSORS, rtol=0, atol=0)
    assert read_weights(tmp_path / "a.SAFETENSORS").kind == "native"


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 99])
def test_broken_safetensors_are_refused(tmp_path, content):
    pytest.importorskip("safetensors")
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors (is not a checkpoint|holds no dict)"):
        read_tensors(tmp_path / "a.safetensors")


def test_safetensors_with_nan_are_refused(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"w": torch.tensor([torch.nan])}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="not finite, in w"):
        read_tensors(tmp_path / "a.safetensors")


def test_safetensors_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"pip install 'grata-monai\[safetensors\]'"):
        read_tensors(tmp_path / "a.safetensors")


def test_a_checkpoint_is_no_bomb_of_zeros(tmp_path):
    torch.save({"w": torch.zeros(2**18)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as archive,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name))
    assert (tmp_path / "b.pt").stat().st_size < 2**14
    with pytest.raises(ValueError, match=r"b\.pt is compressed, which checkpoints are not"):
        read_tensors(tmp_path / "b.pt")


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(1).expand(2**40),  # four TiB in four bytes
        lambda: torch.zeros(3).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
    ],
    ids=["endless", "sparse", "quantized"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_not_in_the_file(tmp_path, make):
    torch.save({"w": make()}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"sparse, quantized or larger than the file, w;"):
        read_tensors(tmp_path / "a.pt")


def test_an_archive_cut_off_in_its_directory(tmp_path):
    torch.save(TENSORS, tmp_path / "a.pt")
    data = bytearray((tmp_path / "a.pt").read_bytes())
    data[data.rindex(b"PK\x01\x02")] = 0
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.pt is not a checkpoint, or is damaged"):
        read_tensors(tmp_path / "a.pt")
