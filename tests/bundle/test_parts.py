# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The functions that the configs call."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from grata_monai.bundle import (
    bundle_dir,
    bundle_root,
    common_folder,
    domains_in,
    exits_on_user_error,
    inference_datalist,
    summarize,
    summary_table,
    training_split,
)
from tests.bundle.conftest import BUNDLE, DOMAIN, REPOSITORY, TRAINING_DOMAIN


@pytest.mark.parametrize("kind", [ValueError, TypeError, FileNotFoundError, PermissionError])
def test_user_errors_become_one_line(kind):
    @exits_on_user_error
    def fail():
        raise kind("first\n  second")

    with pytest.raises(SystemExit, match=r"^Error: first second$") as caught:
        fail()
    assert isinstance(caught.value.__cause__, kind)


def test_other_errors_and_results_pass():
    @exits_on_user_error
    def divide(a, *, by):
        return a / by

    assert divide(6, by=3) == 2
    assert divide.__name__ == "divide"
    with pytest.raises(ZeroDivisionError):
        divide(1, by=0)


def test_bundle_root_from_the_repository_the_bundle_and_elsewhere(monkeypatch, tmp_path):
    assert bundle_dir() == BUNDLE
    monkeypatch.chdir(REPOSITORY)
    assert bundle_root() == "bundles/grata"
    monkeypatch.chdir(BUNDLE)
    assert bundle_root() == "."
    monkeypatch.chdir(tmp_path)
    assert bundle_root() == str(BUNDLE)


def test_an_installation_without_the_bundle_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("grata_monai.bundle.location._IN_CHECKOUT", tmp_path / "a")
    monkeypatch.setattr("grata_monai.bundle.location._IN_WHEEL", tmp_path / "b")
    with pytest.raises(FileNotFoundError, match="install grata-monai again"):
        bundle_dir()
    (tmp_path / "b" / "configs").mkdir(parents=True)
    (tmp_path / "b" / "configs" / "metadata.json").write_text("{}")
    assert bundle_dir() == tmp_path / "b"


def test_summary_by_hand():
    details = {
        "val_assd": torch.tensor([[1.0, math.inf], [3.0, 4.0], [math.nan, 8.0]]),
        "val_mean_dice": torch.tensor([[0.9, 0.5], [0.7, 0.7]]),
        "val_vcdr_error": torch.tensor([[0.25], [math.nan]]),
        "something else": torch.zeros(2, 2),
    }
    dice, assd, vcdr = summarize(SimpleNamespace(state=SimpleNamespace(metric_details=details)))
    assert dice.values == pytest.approx((80.0, 60.0))
    assert (dice.mean, dice.images, dice.undefined) == (pytest.approx(70.0), 2, 0)
    assert assd.values == pytest.approx((2.0, 6.0))
    assert (assd.images, assd.undefined) == (3, 2)
    assert vcdr.values == pytest.approx((0.25,))
    table = summary_table([dice, assd, vcdr])
    assert "Dice [points]     80.00    60.00    70.00       2\n" in table
    assert "(2 undefined)" in table


def test_summary_without_scores():
    assert summarize(SimpleNamespace(state=SimpleNamespace())) == []


def test_summary_of_nothing_defined():
    details = {"val_assd": torch.full((1, 2), math.nan)}
    (score,) = summarize(SimpleNamespace(state=SimpleNamespace(metric_details=details)))
    assert math.isnan(score.mean)
    assert score.undefined == 1


def test_split_by_lists_share_and_automatically(root):
    lists = training_split(root, domain=TRAINING_DOMAIN, validation="test")
    assert [len(lists.training), len(lists.validation)] == [4, 1]
    assert training_split(root, domain=TRAINING_DOMAIN) == lists
    share = training_split(root, domain=TRAINING_DOMAIN, validation=0.4, seed=1)
    assert [len(share.training), len(share.validation)] == [3, 2]
    names = [item["image"] for item in (*share.training, *share.validation)]
    assert sorted(names) == sorted(i["image"] for i in (*lists.training, *lists.validation))
    assert training_split(root, domain=TRAINING_DOMAIN, validation=0.4, seed=1) == share
    alone = training_split(root / f"{TRAINING_DOMAIN}_train.csv")
    assert [len(alone.training), len(alone.validation)] == [3, 1]


def test_split_needs_masks(root, tmp_path):
    image = next((root / DOMAIN).rglob("image/*.png"))
    (tmp_path / "list.csv").write_text(f"image\n{image}\n")
    with pytest.raises(SystemExit, match="need a mask for every image"):
        training_split(tmp_path / "list.csv", validation="all")


def test_domains(root, tmp_path):
    assert domains_in(root) == [DOMAIN, TRAINING_DOMAIN]
    with pytest.raises(ValueError, match="has no lists of domains"):
        domains_in(tmp_path)


def test_an_image_that_is_listed_again_is_taken_again_with_a_warning(root, tmp_path, caplog):
    image = sorted(root.rglob("image/*.png"))[0]
    (tmp_path / "list.csv").write_text(f"image\n{image}\n{image}\n")
    with caplog.at_level("WARNING", logger="grata_monai"):
        items = inference_datalist(tmp_path / "list.csv")
    assert [item["image"] for item in items] == [str(image)] * 2
    assert f"{image} is listed 2 times" in caplog.text


def test_common_folder_only_where_names_collide():
    assert common_folder([{"image": "/a/b/1.png"}, {"image": "/a/c/2.png"}]) is None
    assert common_folder([{"image": "/a/b/1.png"}, {"image": "/a/b/1.png"}]) is None
    assert common_folder([{"image": "/a/b/1.png"}, {"image": "/a/c/1.png"}]) == "/a"
