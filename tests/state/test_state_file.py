# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""States on disk: what was written comes back; a file is whole, or it is refused."""

from __future__ import annotations

import pickle
import sys

import pytest
import torch

from grata_monai.adapters.check_tools import expect_same_tensors
from grata_monai.state import read_state, write_state

STATE = {
    "version": 1,
    "names": ["a", "b\udcff", "c,\n"],
    "nested": {"half": torch.tensor([[1.5, -0.0]], dtype=torch.float64), 3: None},
    "generator": torch.Generator().manual_seed(7).get_state(),
    "numbers": (1, 2.5, True, float("inf")),
}


class Runs:
    """Something that would run code when it is unpickled."""

    def __reduce__(self):
        return print, ("code that was run",)


def test_what_was_written_comes_back(tmp_path):
    write_state(tmp_path / "new" / "run.state.pt", STATE)
    found = read_state(tmp_path / "new" / "run.state.pt")
    expect_same_tensors(found, STATE, "on disk")
    assert list(found) == list(STATE)
    assert found["names"] == STATE["names"]
    assert found["numbers"] == STATE["numbers"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.state.pt"]


def test_what_was_on_the_cpu_stays_there(tmp_path):
    write_state(tmp_path / "state.pt", {"counter": torch.arange(3)})
    assert read_state(tmp_path / "state.pt", device="meta")["counter"].device.type == "cpu"


def test_what_was_elsewhere_goes_where_it_is_wanted(tmp_path, monkeypatch):
    """No other device is here; the CPU's storages say that they were on a GPU."""
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:3")
    write_state(tmp_path / "state.pt", {"weights": torch.arange(3)})
    monkeypatch.undo()
    found = read_state(tmp_path / "state.pt", device=torch.device("cpu"))["weights"]
    assert found.device.type == "cpu"
    assert found.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04", pickle.dumps({"version": 1}, protocol=2)]
)
def test_a_file_that_is_no_state(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.pt is no saved state, or is damaged; start anew"):
        read_state(tmp_path / "state.pt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off(tmp_path, share):
    write_state(tmp_path / "state.pt", STATE)
    content = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="is damaged"):
        read_state(tmp_path / "state.pt")


def test_a_single_wrong_bit_is_noticed(tmp_path):
    write_state(tmp_path / "state.pt", {"weights": torch.full((64,), 1.5)})
    content = bytearray((tmp_path / "state.pt").read_bytes())
    place = content.index(bytes(torch.full((64,), 1.5).numpy())) + 100
    content[place] ^= 1
    (tmp_path / "state.pt").write_bytes(content)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["weights"].unique().numel() == 2
    with pytest.raises(ValueError, match="is damaged"):
        read_state(tmp_path / "state.pt")


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"version": 1, "parts": Runs()}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="is no saved state"):
        read_state(tmp_path / "state.pt")
    assert capsys.readouterr().out == ""


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "state.pt")


def test_a_write_that_fails_keeps_the_old_state(tmp_path):
    write_state(tmp_path / "state.pt", STATE)
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(TypeError):
        write_state(tmp_path / "state.pt", STATE | {"unsaveable": (i for i in range(3))})
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("state.pt", before)]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("size", [0, 1000, 400_000])
def test_a_full_disk_keeps_the_old_state(tmp_path, size):
    """The limit on the size of files is where the disk ends, at several places of the file."""
    import resource

    write_state(tmp_path / "state.pt", STATE)
    before = (tmp_path / "state.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(OSError, match=r"state\.pt cannot be written: ") as caught:
            write_state(tmp_path / "state.pt", {"large": torch.zeros(150_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("state.pt", before)]
