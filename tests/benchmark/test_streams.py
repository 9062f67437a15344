# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which images, in which order."""

from __future__ import annotations

import shutil

import pytest

from grata_monai.benchmark.grid import make_cell
from grata_monai.benchmark.streams import evenly_spread, read_domain, stream_of
from tests.benchmark.conftest import DOMAINS


@pytest.fixture
def images(domains):
    return {name: domain.images for name, domain in domains.items()}


def names(stream):
    return [(number, image.name) for number, image in stream]


def test_images_are_those_of_the_lists_in_order(dataset, domains):
    rows = (dataset / f"{DOMAINS[0]}_train.csv").read_text().splitlines()[1:]
    rows += (dataset / f"{DOMAINS[0]}_test.csv").read_text().splitlines()[1:]
    found = domains[DOMAINS[0]].images
    assert [image.name for image in found] == [row.split(",")[0] for row in rows]
    assert len({image.stem for image in found}) == 4


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [
        (5, None, [0, 1, 2, 3, 4]),
        (2, 5, [0, 1]),
        (10, 2, [0, 9]),
        (7, 3, [0, 3, 6]),
        (5, 1, [0]),
    ],
)
def test_a_limit_spreads_evenly(count, limit, expected):
    assert evenly_spread(count, limit) == expected


def test_a_target_alone_is_passed_once(images):
    for protocol in ("grata", "episodic"):
        cell = make_cell(protocol, "S", DOMAINS[:1], "m", 0)
        stream = stream_of(cell, images, rounds=3)
        assert [image for _, image in stream] == list(images[DOMAINS[0]])


def test_a_continual_stream_repeats_all_targets_in_order(images):
    stream = stream_of(make_cell("vptta", "S", DOMAINS, "m", 0), images, rounds=2)
    once = [image.name for name in DOMAINS for image in images[name]]
    assert names(stream) == [(1, name) for name in once] + [(2, name) for name in once]


def test_a_mixed_stream_is_shuffled_by_the_seed_for_all_methods_alike(images):
    streams = {
        (seed, method): names(
            stream_of(make_cell("mixed", "S", DOMAINS, method, seed), images, rounds=2)
        )
        for seed in (0, 1)
        for method in ("a", "b")
    }
    assert streams[0, "a"] == streams[0, "b"]
    assert streams[0, "a"] != streams[1, "a"]
    first, second = streams[0, "a"][:7], streams[0, "a"][7:]
    assert sorted(name for _, name in first) == sorted(name for _, name in second)
    assert [name for _, name in first] != [name for _, name in second]


def test_a_broken_image_is_left_out_with_its_reason(dataset, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(dataset, root)
    broken = read_domain(root, DOMAINS[1]).images[1]
    (root / broken.name).write_bytes(b"no image")
    domain = read_domain(root, DOMAINS[1])
    assert len(domain.images) == 2
    assert list(domain.skipped) == [broken.name]
    assert "cannot be read" in domain.skipped[broken.name]


def test_the_same_name_in_two_folders_gives_two_names_for_results(dataset, tmp_path):
    image = next(dataset.glob(f"{DOMAINS[0]}/**/image/*.png"))
    mask = image.parent.parent / "mask" / image.name
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(image, tmp_path / folder / "eye.png")
        shutil.copy(mask, tmp_path / folder / "mask.png")
    (tmp_path / "D.csv").write_text("image,mask\nx/eye.png,x/mask.png\ny/eye.png,y/mask.png\n")
    assert [i.stem for i in read_domain(tmp_path, "D").images] == ["x__eye", "y__eye"]
    (tmp_path / "D.csv").write_text("image,mask\nx/eye.png,x/mask.png\nx/eye.png,x/mask.png\n")
    with pytest.raises(ValueError, match="listed twice"):
        read_domain(tmp_path, "D")


def test_masks_are_needed(dataset, tmp_path):
    image = next(dataset.glob(f"{DOMAINS[0]}/**/image/*.png"))
    shutil.copy(image, tmp_path / "eye.png")
    (tmp_path / "D.csv").write_text("image\neye.png\n")
    with pytest.raises(ValueError, match="Not every image of D"):
        read_domain(tmp_path, "D")
