# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Scores in files: those of MONAI's own handler, interrupted or not, and never half a file."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import MeanDice, MetricsSaver, SurfaceDistance, from_engine

from grata_monai.handlers import StreamMetricsSaver
from grata_monai.state import read_state, write_state

NAMES = ("val_mean_dice", "val_assd")


def images(count=5):
    """Predictions and masks of two structures; in one the mask is empty."""
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        pred, label = (torch.rand(2, 2, 8, 8, generator=generator) > 0.5).float()
        name = {"filename_or_obj": f"/a/{number}.png"}
        yield {"pred": pred, "label": label * (number != 1), "meta": name}


class Evaluation:
    """Metrics of images, and what saves them."""

    def __init__(self, folder, kind=StreamMetricsSaver, **settings):
        self.engine = Engine(lambda engine, image: [image])
        transform = from_engine(["pred", "label"])
        self.metrics = {
            "val_mean_dice": MeanDice(include_background=True, output_transform=transform),
            "val_assd": SurfaceDistance(
                include_background=True, symmetric=True, output_transform=transform
            ),
        }
        for name, metric in self.metrics.items():
            metric.attach(self.engine, name)
        settings = {"metrics": "*", "metric_details": "*"} | settings
        if kind is StreamMetricsSaver:
            settings["handlers"] = self.metrics
        self.saver = kind(str(folder), batch_transform=lambda image: [image["meta"]], **settings)
        self.saver.attach(self.engine)

    def run(self, data):
        self.engine.run(iter(data))
        return self


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of MONAI's own handler."""
    folder = tmp_path_factory.mktemp("expected")
    Evaluation(folder, MetricsSaver).run(images())
    assert {path.name for path in folder.iterdir()} == {
        "metrics.csv",
        "val_mean_dice_raw.csv",
        "val_assd_raw.csv",
    }
    return contents(folder)


def test_the_files_are_those_of_monai(tmp_path, expected):
    Evaluation(tmp_path / "new").run(images())
    assert contents(tmp_path / "new") == expected


def test_names_stay_one_field_of_one_line(tmp_path):
    names = ["Doe, Jane.png", "a\n1,1.png", 'say "ah".png', os.fsdecode(b"image\xe9.png")]
    data = list(images(len(names)))
    for item, name in zip(data, names, strict=True):
        item["meta"] = {"filename_or_obj": name}
    Evaluation(tmp_path).run(data)
    table = pd.read_csv(tmp_path / "val_mean_dice_raw.csv")
    assert list(table["filename"]) == [*names[:3], "image\\udce9.png"]
    assert table.shape == (len(names), 4)


@pytest.mark.parametrize("done", range(6))
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, expected, done):
    everything = list(images())
    first = Evaluation(tmp_path / "first")
    if done:
        first.run(everything[:done])
    write_state(tmp_path / "state.pt", first.saver.state_dict())
    rest = Evaluation(tmp_path / "rest")
    state = read_state(tmp_path / "state.pt")
    rest.engine.add_event_handler(Events.EPOCH_STARTED, lambda: rest.saver.load_state_dict(state))
    rest.run(everything[done:])
    assert contents(tmp_path / "rest") == expected


def test_what_was_loaded_takes_the_place_of_what_was_there(tmp_path):
    everything = list(images())
    state = Evaluation(tmp_path).run(everything[:2]).saver.state_dict()
    saver = Evaluation(tmp_path).run(everything[3:]).saver
    saver.load_state_dict(state)
    assert saver.state_dict()["filenames"] == ["/a/0.png", "/a/1.png"]
    scores = [given["buffers"] for given in (saver.state_dict(), state)]
    torch.testing.assert_close(*scores, rtol=0, atol=0, equal_nan=True)


def test_a_state_without_one_of_the_metrics_is_refused(tmp_path):
    evaluation = Evaluation(tmp_path).run(images())
    state = evaluation.saver.state_dict()
    del state["buffers"]["val_assd"]
    with pytest.raises(KeyError, match="val_assd"):
        evaluation.saver.load_state_dict(state)


def test_a_write_that_fails_keeps_the_old_files(tmp_path, expected, monkeypatch):
    Evaluation(tmp_path).run(images())

    def fail(source, target):
        target.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OSError, match="No space left"):
        Evaluation(tmp_path).run(images(3))
    assert contents(tmp_path) == expected


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"metrics": ["val_assd"]}, {"metrics.csv", *(f"{name}_raw.csv" for name in NAMES)}),
        ({"metrics": None, "metric_details": ["val_assd"]}, {"val_assd_raw.csv"}),
        ({"metrics": None, "metric_details": None}, set()),
        ({"metric_details": None}, {"metrics.csv"}),
    ],
)
def test_only_what_is_asked_for(tmp_path, settings, files):
    for kind in (MetricsSaver, StreamMetricsSaver):
        Evaluation(tmp_path / kind.__name__, kind, **settings).run(images())
    assert contents(tmp_path / "StreamMetricsSaver") == contents(tmp_path / "MetricsSaver")
    assert contents(tmp_path / "StreamMetricsSaver").keys() == files
