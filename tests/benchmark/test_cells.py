# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One cell: rows, going on after a stop, images that fail."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from grata_monai.adapters import ADAPTERS, Tent, build_adapter
from grata_monai.adapters.check_tools import tiny_network
from grata_monai.benchmark import cells, images
from grata_monai.benchmark.cells import run_cell
from grata_monai.benchmark.grid import Method
from grata_monai.benchmark.methods import build_method
from grata_monai.benchmark.run_folder import COLUMNS, read_text_rows
from grata_monai.benchmark.scores import score
from grata_monai.transforms import fundus_preprocessing

UNTIMED = {"seconds", "memory_mb"}


class Stop(BaseException):
    """Stands for a kill: passes every handler of exceptions."""


def rows_of(task):
    rows = read_text_rows(task.folder / "rows.csv")
    return [{k: v for k, v in row.items() if k not in UNTIMED} for row in rows]


def stop_after(count):
    seen = []

    def on_image():
        seen.append(None)
        if len(seen) == count:
            raise Stop

    return on_image


@pytest.fixture
def task_of(plan_of, tmp_path):
    def task_of(method, *, run="run", protocol="vptta", images=None, pictures=False, **settings):
        settings = {"protocols": (protocol,), "seeds": (3,)} | settings
        plan = plan_of([Method("m", method, settings.pop("options", {}))], **settings)
        task = plan.task(plan.grid.cells()[0], tmp_path / run, pictures=pictures)
        return replace(task, save_every=2, stream=task.stream[:images])

    return task_of


@pytest.mark.parametrize(
    ("method", "protocol"),
    [*((method, "vptta") for method in sorted(ADAPTERS)), ("grata", "episodic")],
)
def test_a_stopped_cell_goes_on_to_the_very_same_rows(task_of, method, protocol):
    whole = task_of(method, run="whole", protocol=protocol, images=4)
    assert run_cell(whole).status == "complete"
    stopped = task_of(method, run="stopped", protocol=protocol, images=4)
    for count in (3, 1):  # after image 3 (saved: 2), then after the next (saved: 2 still)
        with pytest.raises(Stop):
            run_cell(stopped, on_image=stop_after(count))
    assert len(rows_of(stopped)) == 2
    assert (stopped.folder / "state.pt").exists()
    outcome = run_cell(stopped)
    assert (outcome.status, outcome.failed_images) == ("complete", 0)
    assert rows_of(stopped) == rows_of(whole)
    assert not (stopped.folder / "state.pt").exists()


def test_rows_that_were_written_after_the_last_state_are_dropped(task_of):
    whole = task_of("tent", run="whole")
    run_cell(whole)
    stopped = task_of("tent", run="stopped")
    with pytest.raises(Stop):
        run_cell(stopped, on_image=stop_after(3))
    path = stopped.folder / "rows.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    run_cell(stopped)
    assert rows_of(stopped) == rows_of(whole)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "state.pt").write_bytes(b"PK\x03\x04 cut"), "is damaged"),
        (lambda folder: torch.save([1], folder / "state.pt"), "is no state of a cell"),
        (
            lambda folder: torch.save({"images": 9, "adapter": {}}, folder / "state.pt"),
            "goes with 9 rows, but there are 2",
        ),
        (
            lambda folder: torch.save({"images": 2, "adapter": {}}, folder / "state.pt"),
            "The state does not fit",
        ),
        (lambda folder: (folder / "rows.csv").write_text("cut"), "there are 0"),
    ],
)
def test_a_damaged_state_costs_time_and_nothing_else(task_of, caplog, spoil, message):
    whole = task_of("tent", run="whole", images=4)
    run_cell(whole)
    stopped = task_of("tent", run="stopped", images=4)
    with pytest.raises(Stop):
        run_cell(stopped, on_image=stop_after(3))
    spoil(stopped.folder)
    assert run_cell(stopped).status == "complete"
    assert rows_of(stopped) == rows_of(whole)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{stopped.cell.id} starts anew: ")
    assert message in warning


@pytest.mark.parametrize(("seconds", "expected"), [(0.5, [2, 4, 6, 7]), (10.0, [2, 7])])
def test_slow_saves_are_rare(task_of, monkeypatch, seconds, expected):
    now, saves = [0.0], []

    def save(folder, rows, adapter):
        saves.append(len(rows))
        now[0] += seconds

    def on_image():
        now[0] += 15.0

    monkeypatch.setattr(cells, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(cells, "save_cell", save)
    run_cell(task_of("source"), on_image=on_image)
    assert saves == expected


def test_rows_are_those_of_the_method_itself(task_of):
    task = task_of("tent", options={"beta": 0.01}, rounds=2)
    seen = []
    run_cell(task, on_image=lambda: seen.append(None))
    rows = rows_of(task)
    assert len(seen) == len(rows) == 14
    preprocessing = fundus_preprocessing(size=32)
    adapter = Tent(beta=0.01, seed=3)
    with adapter.bound(tiny_network()):
        for position, ((number, image), row) in enumerate(zip(task.stream, rows, strict=True)):
            item = preprocessing(image.item)
            logits = adapter.adapt(item["image"].as_tensor()[None])
            expected = score(logits, item["label"].as_tensor()[None]).values
            assert {name: row[name] for name in expected} == {
                name: "" if math.isnan(value) else repr(value) for name, value in expected.items()
            }
            assert float(row["trace_loss"]) == adapter.trace_["loss"]
            assert (row["round"], row["position"]) == (str(number), str(position))
            assert (row["target"], row["image"]) == (image.domain, image.name)
            assert (row["seed"], row["adapter"], row["error"]) == ("3", "tent", "")


def test_the_columns_are_those_of_the_contract(task_of):
    task = task_of("grata")
    run_cell(task)
    columns = list(read_text_rows(task.folder / "rows.csv")[0])
    assert columns[: len(COLUMNS)] == list(COLUMNS)
    assert {"trace_cosine", "trace_learning_rate", "trace_updated", "trace_pseudo_loss"} <= {
        *columns
    }


def test_episodic_images_do_not_know_of_each_other(task_of):
    task = task_of("tent", protocol="episodic", options={"beta": 0.1})
    run_cell(task)
    last = task.stream[-1][1]
    with build_adapter("tent", beta=0.1, seed=3).bound(tiny_network()) as adapter:
        item = fundus_preprocessing(size=32)(last.item)
        logits = adapter.adapt(item["image"].as_tensor()[None])
        expected = score(logits, item["label"].as_tensor()[None]).values["dice_disc"]
    assert float(rows_of(task)[-1]["dice_disc"]) == expected


def test_other_protocols_leave_a_method_its_own_life_cycle():
    assert build_method("tent", {}, seed=0, protocol="grata").life_cycle == "per_dataset"
    own = {"life_cycle": "never"}
    assert build_method("tent", own, seed=0, protocol="vptta").life_cycle == "never"
    assert build_method("tent", own, seed=0, protocol="episodic").life_cycle == "per_image"


def test_pictures_are_the_input_the_mask_and_the_prediction(task_of):
    task = task_of("source", pictures=True, rounds=2)
    run_cell(task)
    rows = rows_of(task)
    first = rows[0]
    item = fundus_preprocessing(size=32)(task.stream[0][1].item)
    picture = np.asarray(Image.open(task.run / first["picture"]))
    assert picture.shape == (32, 32, 3)
    image = item["image"].as_tensor().numpy()
    assert np.abs(picture.transpose(2, 0, 1) / 255 - image).max() <= 0.5 / 255 + 1e-6
    disc, cup = item["label"].as_tensor().numpy()
    assert (np.asarray(Image.open(task.run / first["truth"])) == disc + cup).all()
    prediction = np.asarray(Image.open(task.run / first["prediction"]))
    logits = tiny_network().eval()(item["image"].as_tensor()[None])[0].detach().numpy()
    disc, cup = logits >= 0
    assert (prediction == disc.astype(int) + (disc & cup)).all()
    files = [row["prediction"] for row in rows]
    assert len(set(files)) == len(files)  # a second round does not replace the first's


def test_without_pictures_there_are_none(task_of):
    task = task_of("source")
    run_cell(task)
    assert [p.name for p in task.run.iterdir()] == ["cells"]
    assert {row[key] for row in rows_of(task) for key in ("picture", "truth", "prediction")} == {""}


@pytest.fixture
def failing(monkeypatch):
    """Let TENT fail on its second image, in the given way."""

    def failing(how):
        adapt, calls = Tent.adapt, []

        def patched(self, images, infer=None):
            logits = adapt(self, images, infer)
            calls.append(None)
            return how(logits) if len(calls) == 2 else logits

        monkeypatch.setattr(Tent, "adapt", patched)

    return failing


def test_an_image_that_raises_is_a_row_and_the_stream_goes_on(task_of, failing):
    def fail(logits):
        raise RuntimeError("out of\nmemory")

    failing(fail)
    outcome = run_cell(task_of("tent"))
    rows = rows_of(task_of("tent"))
    assert (outcome.status, outcome.images, outcome.failed_images) == ("complete", 7, 1)
    assert [row["error"] for row in rows] == ["", "RuntimeError: out of memory", *[""] * 5]
    assert rows[1]["dice_disc"] == ""
    assert rows[2]["dice_disc"] != ""


def test_logits_that_are_not_finite_are_an_error(task_of, failing):
    failing(lambda logits: torch.full_like(logits, torch.nan))
    run_cell(task_of("tent", pictures=True))
    row = rows_of(task_of("tent"))[1]
    assert row["error"] == "FloatingPointError: The logits are not finite."
    assert (row["dice_cup"], row["prediction"]) == ("", "")
    assert row["picture"] != ""


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_cell_whose_data_are_gone_waits_for_them(task_of, key):
    task = task_of("tent")
    number, image = task.stream[3]
    gone = replace(image, item={**image.item, key: str(task.run / "gone.png")})
    outcome = run_cell(replace(task, stream=[*task.stream[:3], (number, gone), *task.stream[4:]]))
    assert (outcome.status, outcome.images) == ("failed", 2)
    assert "gone.png was there when the run was planned and is gone" in outcome.error
    again = run_cell(task)
    assert (again.status, again.images, again.failed_images) == ("complete", 7, 0)
    whole = task_of("tent", run="whole")
    run_cell(whole)
    assert rows_of(task) == rows_of(whole)


def test_a_folder_that_cannot_be_written_fails_the_cell_and_not_its_images(task_of, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    expected = task_of("tent", pictures=True)
    with monkeypatch.context() as patch:
        patch.setattr(images, "write_png", full)
        outcome = run_cell(expected)
    assert (outcome.status, outcome.images) == ("failed", 0)
    assert "No space left" in outcome.error
    with monkeypatch.context() as patch:
        patch.setattr(cells, "write_json", full)
        assert "No space left" in run_cell(expected).error
    again = run_cell(expected)
    assert (again.status, again.images, again.failed_images) == ("complete", 7, 0)


def test_a_method_that_does_not_fit_the_source_fails_as_a_cell(task_of):
    task = task_of("grata", options={"auxiliary": "rotation"})
    outcome = run_cell(task)
    assert outcome.status == "failed"
    assert "'rotation' head" in outcome.error
    status = json.loads((task.folder / "cell.json").read_text())
    assert (status["status"], status["error"]) == ("failed", outcome.error)


def test_two_processes_do_not_write_one_cell(task_of, monkeypatch):
    monkeypatch.setattr(cells, "LOCK_SECONDS", 0.1)
    task = task_of("tent", images=2)
    task.folder.mkdir(parents=True)
    with FileLock(task.folder / "cell.lock"):
        outcome = run_cell(task)
        assert [path.name for path in task.folder.iterdir()] == ["cell.lock"]
    assert (outcome.status, outcome.images) == ("failed", 0)
    assert "Another process has been writing this cell" in outcome.error
    assert run_cell(task).status == "complete"


def test_a_cell_that_another_process_completed_stays_as_it_is(task_of, monkeypatch):
    task = task_of("tent", images=2)
    first = run_cell(task)
    before = (task.folder / "rows.csv").read_bytes()
    monkeypatch.setattr(cells, "load_source", None)  # nothing is run again
    assert run_cell(task) == first
    assert (task.folder / "rows.csv").read_bytes() == before
