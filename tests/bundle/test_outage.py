# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Data that drop out in mid-run end it, so that it can go on; a broken image does not."""

from __future__ import annotations

import os
import shutil

import pytest
from ignite.engine import Events

from grata_monai.bundle.outage import OutageWatch
from tests.bundle.conftest import TRAINING_DOMAIN
from tests.bundle.test_output import contents, released

__all__ = ["released"]  # a fixture


@pytest.fixture
def items(tmp_path):
    """Two images in each of two folders, and their masks in two more."""
    made = []
    for folder in "ab":
        for number in "12":
            item = {
                "image": str(tmp_path / folder / f"{number}.png"),
                "label": str(tmp_path / f"{folder}m" / f"{number}.png"),
            }
            for path in item.values():
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w"):
                    pass
            made.append(item)
    return made


@pytest.mark.parametrize("gone", ["a", "am"])
def test_a_folder_that_is_gone_or_empty(items, tmp_path, gone):
    watch = OutageWatch(items)
    shutil.rmtree(tmp_path / gone)
    for _ in range(2):  # a mount point stays, empty
        with pytest.raises(FileNotFoundError, match=rf"All images of {tmp_path / gone} are gone"):
            watch.check(items[0], ValueError("unreadable"))
        watch.check(items[2], ValueError("unreadable"))
        (tmp_path / gone).mkdir(exist_ok=True)


def test_one_image_that_is_gone_or_broken_is_its_own_fault(items):
    watch = OutageWatch(items)
    watch.check(items[0], ValueError("broken"))
    os.unlink(items[0]["image"])
    watch.check(items[0], FileNotFoundError(items[0]["image"]))


@pytest.fixture
def patients(tmp_path):
    """A folder per image, with its mask, and one folder with two images."""
    made = []
    for name in ("p1/eye", "p2/eye", "p3/left", "p3/right"):
        item = {kind: str(tmp_path / "all" / f"{name}_{kind}.png") for kind in ("image", "label")}
        for path in item.values():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w").close()
        made.append(item)
    return made


def test_the_only_image_of_a_folder_may_vanish_by_itself(patients, tmp_path):
    watch = OutageWatch(patients)
    shutil.rmtree(tmp_path / "all" / "p1")
    watch.check(patients[0], FileNotFoundError("p1"))
    shutil.rmtree(tmp_path / "all" / "p3")
    with pytest.raises(FileNotFoundError, match=r"All images of .*p3 are gone"):
        watch.check(patients[2], FileNotFoundError("p3"))
    watch.check(patients[0], FileNotFoundError("p1"))
    shutil.rmtree(tmp_path / "all")
    with pytest.raises(FileNotFoundError, match=r"All images of .*all are gone"):
        watch.check(patients[0], FileNotFoundError("p1"))


def test_the_only_image_of_a_stream_is_its_whole_place(tmp_path):
    path = tmp_path / "eye.png"
    path.touch()
    watch = OutageWatch([{"image": str(path)}] * 2)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="All images of"):
        watch.check({"image": str(path)}, FileNotFoundError("eye"))


@pytest.mark.parametrize("chained", [False, True])
def test_a_reading_process_that_was_killed_is_no_images_fault(items, chained):
    killed = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    error = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    error.__cause__ = killed if chained else None
    with pytest.raises(ConnectionError, match=r"killed, perhaps for lack of memory.*--resume"):
        OutageWatch(items).check(items[0], error)


def test_a_folder_that_was_never_there_is_its_images_fault(items, tmp_path):
    shutil.rmtree(tmp_path / "a")
    OutageWatch(items).check(items[0], FileNotFoundError(items[0]["image"]))


def test_too_many_open_files_are_no_images_fault(items):
    error = ValueError("unreadable")
    error.__cause__ = OSError(24, "Too many open files")
    with pytest.raises(OSError, match="Too many open files"):
        OutageWatch(items).check(items[0], error)


@pytest.mark.parametrize("settings", [{"prefetch": 0}, {"prefetch": 1}, {"num_workers": 1}])
def test_a_run_ends_when_its_data_drop_out_and_goes_on_when_they_are_back(
    infer, root, tmp_path, settings
):
    data = shutil.copytree(root, tmp_path / "data")
    shared = {
        "dataset_dir": str(data),
        "domain": TRAINING_DOMAIN,
        "method": "tent",
        "save_every": 2,
    }
    infer(**shared, output_dir=str(tmp_path / "whole"))

    def unmount(engine):
        if engine.state.iteration == 3:
            (data / TRAINING_DOMAIN).rename(data / "away")

    workflow = infer(**shared, **settings, only_initialize=True)
    workflow.evaluator.add_event_handler(Events.ITERATION_COMPLETED, unmount)
    # an image that was read ahead is missed when its outlines are to be drawn on it
    message = (
        r"^Error: (All images of .* are gone since the start|The photograph .* does not exist)"
    )
    with pytest.raises(SystemExit, match=message):
        workflow.run()
    assert not (tmp_path / "output" / "skipped.csv").exists()
    (data / "away").rename(data / TRAINING_DOMAIN)
    infer(**shared, **settings, resume=True)
    whole, found = contents(tmp_path / "whole"), contents(tmp_path / "output")
    for name in ("trace.csv", "metrics.csv", "val_assd_raw.csv"):
        assert found[tmp_path / "output" / name] == whole[tmp_path / "whole" / name]
