# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a stream with bad images leaves of them: a row, a line in a table, and nothing else."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch import nn

from grata_monai.adapters.check_tools import expect_same_tensors
from grata_monai.bundle import make_guard, run_identity, run_workflow
from grata_monai.inferers import StreamGuard
from grata_monai.state import read_state
from tests.bundle.conftest import DOMAIN, SIZE, TRAINING_DOMAIN

BLANK = "the image has one value only"


@dataclass(frozen=True)
class Results:
    """What a run has written and learned."""

    trace: pd.DataFrame  # of text: equal means equal in every bit
    masks: dict[str, bytes]
    skipped: dict[str, str]
    state: dict


def results(folder):
    trace = pd.read_csv(folder / "trace.csv", dtype=str, keep_default_na=False)
    trace["image"] = trace["image"].map(os.path.basename)
    skipped = {}
    if (folder / "skipped.csv").exists():
        table = pd.read_csv(folder / "skipped.csv")
        names = table["skipped_image"].map(os.path.basename)
        skipped = dict(zip(names, table["reason"], strict=True))
    return Results(
        trace=trace,
        masks={path.name: path.read_bytes() for path in folder.rglob("*_seg.png")},
        skipped=skipped,
        state=read_state(folder / "run.state.pt")["parts"]["adaptation"]["adapter"],
    )


@pytest.fixture(scope="module")
def segment(weights, tmp_path_factory):
    """Run Tent with a large step; returns the results."""
    folder = tmp_path_factory.mktemp("results")

    def segment(data, name, **settings):
        run_workflow(
            "inference",
            dataset_dir=data,
            weights=weights,
            output_dir=folder / name,
            method="tent",
            beta=1e-2,
            image_size=SIZE,
            device="cpu",
            **settings,
        )
        return results(folder / name)

    return segment


@pytest.fixture(scope="module")
def clean(root, tmp_path_factory):
    """Three photographs without masks."""
    folder = tmp_path_factory.mktemp("clean")
    for number, path in enumerate(sorted((root / TRAINING_DOMAIN).rglob("image/*.png"))[:3]):
        shutil.copy(path, folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def mixed(clean, tmp_path_factory):
    """The same ones, and between them two of one color and one that is broken."""
    folder = shutil.copytree(clean, tmp_path_factory.mktemp("data") / "mixed")
    for name in ("0a", "1b"):
        Image.fromarray(np.full((SIZE, SIZE, 3), 120, np.uint8)).save(folder / f"{name}.png")
    (folder / "1a.png").write_bytes((folder / "1.png").read_bytes()[:150])
    return folder


@pytest.fixture(scope="module")
def expected(segment, clean):
    """Of a stream without bad images."""
    return segment(clean, "clean")


def rows(trace):
    """The rows of a trace without their place in the stream."""
    return trace.drop(columns="index").to_dict("records")


@pytest.mark.parametrize("on_fault", ["predict", "skip"])
def test_what_follows_bad_images_is_as_if_they_had_never_come(segment, mixed, expected, on_fault):
    found = segment(mixed, on_fault, on_fault=on_fault)
    expect_same_tensors(found.state, expected.state, "after bad images")
    good = found.trace["image"].isin(expected.trace["image"])
    assert rows(found.trace[good]) == rows(expected.trace)
    assert found.masks.items() >= expected.masks.items()

    bad = found.trace[~good]
    if on_fault == "predict":
        assert found.trace["index"].tolist() == ["0", "1", "2", "4", "5"]
        assert bad["image"].tolist() == ["0a.png", "1b.png"]
        assert bad["event"].str.startswith(f"no update: {BLANK}").all()
        assert (bad["updated"] == "0.0").all()
        assert list(found.skipped) == ["1a.png"]
        assert found.masks.keys() == expected.masks.keys() | {"0a_seg.png", "1b_seg.png"}
    else:
        assert found.trace["index"].tolist() == ["0", "2", "5"]
        assert list(found.skipped) == ["0a.png", "1a.png", "1b.png"]
        assert found.skipped["0a.png"].startswith(BLANK)
        assert found.masks.keys() == expected.masks.keys()
    assert "1a.png" in found.skipped["1a.png"]
    assert (found.trace[good]["event"] == "").all()
    assert expected.skipped == {}


def test_without_a_guard_a_blank_image_does_harm(segment, mixed, expected):
    """Otherwise the test above would show nothing."""
    found = segment(mixed, "unguarded", guard=False)
    good = found.trace["image"].isin(expected.trace["image"])
    same = [a == b for a, b in zip(rows(found.trace[good]), rows(expected.trace), strict=True)]
    assert same == [True, False, False]
    with pytest.raises(AssertionError, match="after bad images"):
        expect_same_tensors(found.state, expected.state, "after bad images")


def test_a_second_data_set_starts_from_the_source(segment, root):
    """Its part of the results is that of a run on it alone, unless nothing is ever forgotten."""
    domains = [DOMAIN, TRAINING_DOMAIN]
    alone = segment(root, "alone", domain=TRAINING_DOMAIN)
    both = segment(root, "both", domain=domains)
    carried = segment(root, "carried", domain=domains, life_cycle="never")
    assert both.trace["index"].tolist() == [str(place) for place in range(7)]
    assert rows(both.trace[2:]) == rows(alone.trace)
    expect_same_tensors(both.state, alone.state, "after both")
    assert both.masks.items() >= alone.masks.items()
    assert len(both.masks) == 7
    assert rows(carried.trace[:2]) == rows(both.trace[:2])
    for row, other in zip(rows(carried.trace[2:]), rows(both.trace[2:]), strict=True):
        assert row != other


@pytest.mark.skipif(sys.platform == "win32", reason="names of POSIX")
def test_a_name_may_have_any_bytes(segment, clean, tmp_path):
    names = ["0.png", "Doe, Jane.png", "\x1b[2Jb\n.png", os.fsdecode(b"c\xe9.png")]
    for name in names:
        shutil.copy(clean / "0.png", tmp_path / name)
    for name in names[1:]:
        (tmp_path / f"broken {name}").write_bytes(b"no picture")
    for resume in (False, True):
        found = segment(tmp_path, "names", resume=resume)
        written = [name.encode(errors="backslashreplace").decode() for name in names]
        assert sorted(found.trace["image"]) == sorted(written)
        assert sorted(found.masks) == sorted(
            f"{name.removesuffix('.png')}_seg.png" for name in names
        )
        assert sorted(found.skipped) == sorted(f"broken {name}" for name in written[1:])


def test_the_guard_of_a_config():
    assert make_guard(guard=False) is None
    guard = make_guard(on_fault="skip")
    assert isinstance(guard, StreamGuard)
    assert guard.on_fault == "skip"
    with pytest.raises(SystemExit, match=r"^Error: The 'on_fault' .*did you mean 'skip'"):
        make_guard(guard=False, on_fault="skips")
    with pytest.raises(SystemExit, match=r"^Error: .* leave the guard on"):
        make_guard(guard=False, on_fault="skip")
    with pytest.raises(SystemExit, match=r"^Error: The 'guard' .* must be True or False. Got 'no'"):
        make_guard(guard="no")


def test_what_the_state_of_a_run_belongs_to(tmp_path):
    settings = {"seed": 0, "weights": tmp_path / "a.pt", "dataset_dir": "a", "options": {"b": (1,)}}
    items = [{"image": "/a/b/1.png", "label": "/a/m/1.png"}, {"image": "/a/c/2\udcff.png"}]
    network = nn.Linear(1, 1)
    identity = run_identity(settings, items, network)
    moved = settings | {"weights": "b.pt", "dataset_dir": "/b"}
    assert identity == run_identity(moved, items, copy.deepcopy(network))
    elsewhere = [{key: f"/new{path}" for key, path in item.items()} for item in items]
    assert identity == run_identity(settings, elsewhere, network)
    assert identity["options"] == {"b": [1]}
    masked = [{**item, "label": "/a/m/1.png"} for item in items]
    bare = [{"image": item["image"]} for item in items]
    renamed = [items[0], {"image": "/a/c/3.png"}]
    for other in (items[::-1], items[:1], [*items, *items], masked, bare, renamed):
        assert run_identity(settings, other, network) != identity
    assert run_identity(settings | {"seed": 1}, items, network) != identity
    assert run_identity(settings, items, nn.Linear(1, 1)) != identity
    assert settings["weights"] == tmp_path / "a.pt"
