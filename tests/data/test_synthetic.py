# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic photographs: same seed same bits, true masks, domains that differ as declared."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from grata_monai.data import (
    SYNTHETIC_DOMAINS,
    SyntheticDomain,
    fundus_datalist,
    paint_fundus,
    synthetic_domain,
    write_synthetic_domain,
)
from grata_monai.data._fundus_styles import CameraStyle, EyeStyle

NAMES = tuple(SYNTHETIC_DOMAINS)


@pytest.fixture(scope="module")
def samples():
    """Twelve small images and masks per domain."""
    return {
        name: [paint_fundus(name, seed=(7, index), size=64) for index in range(12)]
        for name in NAMES
    }


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bits_and_other_seed_other_image():
    first, again = (paint_fundus("Synthetic_C", seed=5, size=48) for _ in range(2))
    other = paint_fundus("Synthetic_C", seed=6, size=48)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = paint_fundus("Synthetic_D", seed=0, size=32)[0]
    assert np.array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    assert np.array_equal(paint_fundus("Synthetic_D", seed=0, size=32)[0], first)


@pytest.mark.parametrize("name", NAMES)
def test_types_and_encoding(samples, name):
    for image, mask in samples[name]:
        assert image.shape == (64, 64, 3)
        assert mask.shape == (64, 64)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 128, 255}
        assert image.std() > 5


@pytest.mark.parametrize("name", NAMES)
def test_disc_and_cup_are_single_filled_regions_and_a_rim_is_all_around(samples, name):
    for _, mask in samples[name]:
        disc, cup = mask < 255, mask == 0
        assert ndimage.label(disc)[1] == ndimage.label(cup)[1] == 1
        assert np.array_equal(ndimage.binary_fill_holes(disc), disc)
        grown = ndimage.binary_dilation(cup)
        assert not (grown & ~disc).any()
        border = np.concatenate([disc[0], disc[-1], disc[:, 0], disc[:, -1]])
        assert not border.any()


def test_cup_that_is_too_large_ends_at_the_disc():
    small, large = (
        paint_fundus(
            SyntheticDomain("x", "x", EyeStyle(cup_ratio=(ratio, ratio))), seed=2, size=64
        )[1]
        for ratio in (0.5, 1.3)
    )
    assert np.array_equal(large < 255, small < 255)
    assert (large == 0).sum() > 2 * (small == 0).sum()


@pytest.mark.parametrize("name", NAMES)
def test_disc_is_brighter_than_retina_and_cup_brighter_than_rim(samples, name):
    rises = []
    for image, mask in samples[name]:
        green = image[..., 1].astype(float)
        ring = ndimage.binary_dilation(mask < 255, iterations=8) & (mask == 255)
        rises.append(
            (
                green[mask < 255].mean() - green[ring].mean(),
                green[mask == 0].mean() - green[mask == 128].mean(),
            )
        )
    disc, cup = np.array(rises).T
    assert (disc > 0).all()
    assert cup.mean() > 5


def test_sizes_follow_the_declared_ranges(samples):
    for name in NAMES:
        eye = SYNTHETIC_DOMAINS[name].eye
        for _, mask in samples[name]:
            height = np.flatnonzero((mask < 255).any(1)).size / 64
            ratio = np.flatnonzero((mask == 0).any(1)).size / (64 * height)
            # 10 % for the bumps and the tilt of the outline, two pixels for the grid
            assert 0.9 * eye.disc_radius[0] - 0.02 < height / 2 < 1.1 * eye.disc_radius[1] + 0.02
            assert eye.cup_ratio[0] - 0.12 < ratio < eye.cup_ratio[1] + 0.12


def test_domains_differ_in_color_as_their_titles_say(samples):
    def share(name, channel):
        pixels = np.concatenate([image.reshape(-1, 3) for image, _ in samples[name]]).astype(float)
        return pixels[:, channel].sum() / pixels.sum()

    blue = {name: share(name, 2) for name in NAMES}
    green = {name: share(name, 1) for name in NAMES}
    assert max(blue, key=blue.get) == "Synthetic_D"  # pinkish
    assert min(blue, key=blue.get) == "Synthetic_E"  # dark orange
    assert max(green, key=green.get) == "Synthetic_C"  # yellowish


def test_domains_differ_in_size_sharpness_contrast_and_framing(samples):
    def mean(name, measure):
        return float(np.mean([measure(image.astype(float), mask) for image, mask in samples[name]]))

    area = {name: mean(name, lambda _, mask: (mask < 255).mean()) for name in NAMES}
    cup = {
        name: mean(name, lambda _, mask: (mask == 0).sum() / (mask < 255).sum()) for name in NAMES
    }
    step = {
        name: mean(
            name, lambda image, mask: image[mask < 255, 1].mean() / image[mask == 255, 1].mean()
        )
        for name in NAMES
    }
    black = {
        name: sum((image.max(-1) <= 6).mean() > 0.01 for image, _ in samples[name])
        for name in NAMES
    }
    assert max(area, key=area.get) == "Synthetic_E"
    assert max(cup, key=cup.get) == "Synthetic_E"
    assert step["Synthetic_C"] < 0.85 * step["Synthetic_A"]
    assert black["Synthetic_A"] == black["Synthetic_C"] == black["Synthetic_E"] == 0
    assert 1 <= black["Synthetic_B"] < 12
    assert 1 <= black["Synthetic_D"] < 12


def test_blur_and_noise_of_the_camera_show():
    def roughness(camera):
        image = paint_fundus(SyntheticDomain("x", "x", EyeStyle(), camera), seed=3, size=96)[0]
        gray = image.astype(float).mean(-1)
        return float(np.abs(gray - ndimage.gaussian_filter(gray, 1.0)).mean())

    sharp = CameraStyle(blur=(0.0005, 0.0005), noise=(0.0, 0.0))
    blurred = CameraStyle(blur=(0.01, 0.01), noise=(0.0, 0.0))
    noisy = CameraStyle(blur=(0.01, 0.01), noise=(0.05, 0.05))
    assert roughness(blurred) < 0.5 * roughness(sharp)
    assert roughness(noisy) > 2.0 * roughness(blurred)


def test_eye_does_not_depend_on_the_size_of_the_image():
    small, large = (paint_fundus("Synthetic_B", seed=11, size=size) for size in (64, 128))
    disc = [pair[1] < 255 for pair in (small, large)]
    centers = [np.array(ndimage.center_of_mass(one)) / one.shape[0] for one in disc]
    assert np.allclose(centers[0], centers[1], atol=0.01)
    assert abs(disc[0].mean() - disc[1].mean()) < 0.01
    halved = large[0].reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.corrcoef(halved.ravel(), small[0].ravel())[0, 1] > 0.97


def test_border_of_the_field_of_view_is_on_the_nasal_side():
    """Cups lie towards the temporal side on average, hence away from the black border."""
    domain = SyntheticDomain("x", "x", EyeStyle(), CameraStyle(field_edge=1.0))
    on_left, away = [], []
    for seed in range(40):
        image, mask = paint_fundus(domain, seed=seed, size=64)
        dark = image.max(-1) <= 6
        left, right = dark[:, :8].mean(), dark[:, -8:].mean()
        assert max(left, right) > 0.1
        assert min(left, right) < 0.05
        on_left.append(left > right)
        shift = np.subtract(ndimage.center_of_mass(mask == 0), ndimage.center_of_mass(mask < 255))
        away.append(shift[1] if left > right else -shift[1])
    assert 8 <= sum(on_left) <= 32  # left and right eyes
    assert np.mean(away) > 2 * np.std(away) / np.sqrt(40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 0, "size": 16}, r"'size' parameter of paint_fundus .* Got 16"),
        ({"seed": -1}, r"'seed' parameter of paint_fundus .* Got -1"),
        ({"seed": (0, 1.5)}, r"'seed' parameter of paint_fundus must be an integer .* Got 1.5"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        paint_fundus("Synthetic_A", **arguments)


def test_unknown_domain_suggests_the_closest():
    with pytest.raises(ValueError, match=r"did you mean 'Synthetic_A'\?"):
        synthetic_domain("Synthetic-A")
    with pytest.raises(ValueError, match=r"must be one of Synthetic_A, .* Got 'REFUGE'"):
        paint_fundus("REFUGE", seed=0)


def test_written_domain_has_the_published_layout(tmp_path):
    steps = []
    tables = write_synthetic_domain(
        tmp_path, "Synthetic_A", images=7, size=32, seed=3, progress=steps.append
    )
    assert steps == [1] * 7
    assert [path.name for path in tables] == ["Synthetic_A_train.csv", "Synthetic_A_test.csv"]
    assert tables[1].read_bytes() == (
        b"image,mask\n"
        b"Synthetic_A/test/image/synthetic_a_0001.png,Synthetic_A/test/mask/synthetic_a_0001.png\n"
        b"Synthetic_A/test/image/synthetic_a_0006.png,Synthetic_A/test/mask/synthetic_a_0006.png\n"
    )
    items = fundus_datalist(tmp_path, domain="Synthetic_A")
    numbers = [item["image"][-8:-4] for item in items]
    assert numbers == ["0000", "0002", "0003", "0004", "0005", "0001", "0006"]
    for item in items:
        with Image.open(item["image"]) as image, Image.open(item["label"]) as mask:
            assert (image.mode, mask.mode) == ("RGB", "L")
            assert image.size == mask.size == (32, 32)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2 + 2 * 7  # no temporary file is left


def test_written_files_are_the_same_again_and_images_do_not_depend_on_the_count(tmp_path):
    for folder, count in (("small", 3), ("again", 3), ("large", 6)):
        write_synthetic_domain(tmp_path / folder, "Synthetic_B", images=count, size=32, seed=1)
    small, again, large = (digests(tmp_path / name) for name in ("small", "again", "large"))
    assert small == again
    pictures = {path: digest for path, digest in small.items() if path.endswith(".png")}
    assert len(pictures) == 6
    assert pictures.items() <= large.items()


def test_seed_and_domain_change_the_eyes(tmp_path):
    def masks(folder, domain, seed):
        write_synthetic_domain(tmp_path / folder, domain, images=2, size=32, seed=seed)
        items = fundus_datalist(tmp_path / folder)
        return [np.asarray(Image.open(item["label"])) for item in items]

    first = masks("a0", "Synthetic_A", 0)
    twin = dataclasses.replace(SYNTHETIC_DOMAINS["Synthetic_A"], name="Twin")
    for other in (masks("a1", "Synthetic_A", 1), masks("t0", twin, 0)):
        assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_smaller_set_replaces_a_larger_one_and_leaves_other_files_alone(tmp_path):
    write_synthetic_domain(tmp_path, "Synthetic_A", images=7, size=32)
    notes = tmp_path / "Synthetic_A" / "train" / "image" / "notes.txt"
    notes.write_text("mine")
    write_synthetic_domain(tmp_path, "Synthetic_A", images=3, size=32)
    assert notes.read_text() == "mine"
    notes.unlink()
    pictures = {path.name for path in (tmp_path / "Synthetic_A").rglob("*") if path.is_file()}
    assert pictures == {f"synthetic_a_000{index}.png" for index in range(3)}
    assert len(fundus_datalist(tmp_path)) == 3


def test_interrupted_writing_leaves_no_list(tmp_path):
    write_synthetic_domain(tmp_path, "Synthetic_A", images=3, size=32)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic_domain(tmp_path, "Synthetic_A", images=3, size=32, seed=1, progress=stop)
    assert list(tmp_path.glob("*.csv")) == []


def test_both_splits_need_an_image(tmp_path):
    with pytest.raises(ValueError, match=r"'images' parameter of write_synthetic_domain .* Got 1"):
        write_synthetic_domain(tmp_path, "Synthetic_A", images=1)
    assert list(tmp_path.iterdir()) == []
