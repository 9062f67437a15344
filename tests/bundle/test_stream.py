# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The stream of images: what cannot be used is left out, everything else comes in its turn."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.data import Dataset, MetaTensor

from grata_monai.bundle import ImageStream
from grata_monai.inferers.adaptive import FAULT_KEY

WAYS = [{"prefetch": 0}, {"prefetch": 1}, {"prefetch": 0, "num_workers": 1}]


class Reader:
    """A transform that reads no files; some items cannot be read, as it may be said by anybody."""

    def __init__(self, broken=None):
        self.broken = broken or {}

    def __call__(self, item):
        number = item["number"]
        if number in self.broken:
            raise self.broken[number](f"{number} is broken")
        return {"image": MetaTensor(torch.full((1, 2, 2), float(number)))}


def items(count):
    return [{"image": f"{number}.png", "number": number} for number in range(count)]


def make(count=6, broken=None, **settings):
    settings = {"prefetch": 0} | settings
    return ImageStream(Dataset(items(count), Reader(broken)), **settings)


def numbers(stream):
    """What comes, and where in the stream it says to be."""
    found = [(int(batch["image"].mean()), int(batch["position"])) for batch in stream]
    assert all(number == position for number, position in found)
    return [number for number, _ in found]


def rows(path):
    table = pd.read_csv(path)
    assert list(table.columns) == ["skipped_image", "reason"]
    return list(table.itertuples(index=False, name=None))


def reading_threads():
    return [thread for thread in threading.enumerate() if "enqueue_values" in thread.name]


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_read_is_left_out_and_the_rest_comes(tmp_path, way, caplog):
    broken = {0: OSError, 2: ValueError, 3: TypeError, 5: ValueError}
    stream = make(broken=broken, report_path=tmp_path / "new" / "skipped.csv", **way)
    for _ in range(2):
        assert numbers(stream) == [1, 4]
        assert rows(tmp_path / "new" / "skipped.csv") == [
            (f"{number}.png", f"{number} is broken") for number in broken
        ]
    assert caplog.text.count("2.png is left out: 2 is broken") == 2
    assert [path.name for path in tmp_path.rglob("*.*")] == ["skipped.csv"]


def test_the_report_is_written_when_an_image_is_left_out(tmp_path):
    stream = iter(make(broken={1: ValueError, 4: ValueError}, report_path=tmp_path / "skipped.csv"))
    assert not (tmp_path / "skipped.csv").exists()
    assert [int(next(stream)["position"]) for _ in range(3)] == [0, 2, 3]
    assert [name for name, _ in rows(tmp_path / "skipped.csv")] == ["1.png"]
    assert int(next(stream)["position"]) == 5
    assert [name for name, _ in rows(tmp_path / "skipped.csv")] == ["1.png", "4.png"]


def test_a_report_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    stream = iter(make(broken={1: ValueError, 4: ValueError}, report_path=tmp_path / "skipped.csv"))
    next(stream), next(stream)
    before = (tmp_path / "skipped.csv").read_bytes()

    def fail(path, text, **kwargs):
        path.write_bytes(b"skipped_im")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        list(stream)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [
        ("skipped.csv", before)
    ]


def test_a_report_of_an_interrupted_run_goes_when_its_image_was_mended(tmp_path):
    for broken in ({4: ValueError}, {}):
        stream = make(broken=broken, report_path=tmp_path / "skipped.csv")
        list(stream)
        assert (tmp_path / "skipped.csv").exists() == bool(broken)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_can_be_used_is_an_error(tmp_path, way):
    stream = make(3, dict.fromkeys(range(3), OSError), report_path=tmp_path / "skipped.csv", **way)
    with pytest.raises(ValueError, match=r"None of the 3 images can be used; the first: 0 is bro"):
        list(stream)
    assert len(rows(tmp_path / "skipped.csv")) == 3


def test_a_reason_is_one_line():
    stream = make(2, {0: lambda reason: OSError(f"{reason}\n  and\tmore")})
    assert numbers(stream) == [1]
    assert stream.skipped == {0: "0 is broken and more"}


def test_no_images_at_all():
    assert list(make(0)) == []


@pytest.mark.parametrize(
    ("way", "kind"),
    list(zip(WAYS, [AttributeError, ZeroDivisionError, KeyError], strict=True)),
)
def test_an_error_of_the_program_is_raised(tmp_path, way, kind):
    stream = make(broken={2: kind}, report_path=tmp_path / "skipped.csv", **way)
    seen = []
    with pytest.raises(RuntimeError) as caught:
        seen.extend(int(batch["position"]) for batch in stream)
    told = f"{caught.value!r} {caught.value.__cause__!r}"
    assert kind.__name__ in told
    assert seen == [0, 1]
    assert not (tmp_path / "skipped.csv").exists()
    assert not reading_threads()  # while the exception, which holds its frames, is alive


def test_an_iteration_that_is_given_up_leaves_no_thread():
    stream = make(prefetch=1)
    for _ in stream:
        break
    assert not reading_threads()
    iterator = iter(stream)
    next(iterator)
    assert len(reading_threads()) == 1
    iterator.close()
    assert not reading_threads()
    assert numbers(stream) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("way", WAYS)
def test_images_that_are_inspected_are_marked_or_left_out(tmp_path, way):
    def inspect(batch):
        number = int(batch["image"].mean())
        return {1: ("odd, but let pass", False), 3: ("odd", True)}.get(number, ("", False))

    stream = make(5, inspect=inspect, report_path=tmp_path / "skipped.csv", **way)
    faults = {int(batch["position"]): batch["image"].meta[FAULT_KEY] for batch in stream}
    assert faults == {0: "", 1: "odd, but let pass", 2: "", 4: ""}
    assert rows(tmp_path / "skipped.csv") == [("3.png", "odd")]


def test_an_inspection_that_fails_is_raised():
    def inspect(batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(make(inspect=inspect, prefetch=1))
    assert not reading_threads()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("taken", [1, 2, 3])
def test_going_on_where_another_run_was(tmp_path, way, taken):
    broken = {1: ValueError, 5: ValueError, 6: ValueError}
    settings = {"broken": broken, "report_path": tmp_path / "skipped.csv", **way}
    first = make(7, **settings)
    iterator = iter(first)
    before = [int(next(iterator)["position"]) for _ in range(taken)]
    state = first.state_dict()
    iterator.close()
    second = make(7, **settings)
    second.load_state_dict(state)
    assert before + numbers(second) == [0, 2, 3, 4]
    assert [name for name, _ in rows(tmp_path / "skipped.csv")] == ["1.png", "5.png", "6.png"]
    assert second.state_dict()["place"] == 7
    assert second.skipped == {n: f"{n} is broken" for n in broken}
    assert numbers(second) == [0, 2, 3, 4]  # another pass is a whole one


def test_going_on_behind_the_end():
    stream = make(2)
    stream.load_state_dict({"place": 2, "skipped": {1: "1 is broken"}, "checksums": ["", ""]})
    assert list(stream) == []
    assert stream.skipped == {1: "1 is broken"}


def test_going_on_with_other_files_is_refused(tmp_path):
    """The results of the images so far would be those of others; one left out has none."""

    def stream():
        files = [{"number": n, "image": str(tmp_path / f"{n}.png")} for n in range(3)]
        files[2]["label"] = str(tmp_path / "mask.png")
        return ImageStream(Dataset(files, Reader({1: ValueError})), prefetch=0)

    names = ("0.png", "1.png", "2.png", "mask.png")
    for name in names:
        (tmp_path / name).write_text(name)
    first = stream()
    list(first)
    state = first.state_dict()
    for name in names:
        (tmp_path / name).write_text("another")
        if name == "1.png":
            stream().check_state_dict(state)
        else:
            with pytest.raises(ValueError, match=r"\d\.png \(or its mask\) is not what"):
                stream().check_state_dict(state)
        (tmp_path / name).write_text(name)
    (tmp_path / "0.png").unlink()
    with pytest.raises(ValueError, match=r"0\.png .* is not what the earlier run"):
        stream().check_state_dict(state)


def test_a_state_is_a_copy():
    stream = make(broken={0: ValueError, 3: ValueError})
    iterator = iter(stream)
    next(iterator)
    state = stream.state_dict()
    list(iterator)
    assert state == {"place": 2, "skipped": {0: "0 is broken"}, "checksums": ["", ""]}


def test_positions_of_a_share_are_those_of_the_whole_stream():
    stream = make(3, broken={1: ValueError}, first=10)
    assert [int(batch["position"]) for batch in stream] == [10, 12]


def test_how_many_will_come_is_not_known():
    with pytest.raises(TypeError, match="is not known before its end"):
        len(make())


def test_a_bar_counts_what_is_left_out_too(capfd):
    list(make(4, broken={1: ValueError}, title="tent"))
    assert "tent: 100%" in capfd.readouterr().err
    list(make(4))
    assert capfd.readouterr().err == ""
