# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Lists and masks for a training; what cannot be used, and which images are held out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.label.training_set import LabeledImage, write_training_set

LABELS = np.zeros((20, 30), dtype=np.uint8)
LABELS[4:11, 6:15] = 1
LABELS[6:9, 9:12] = 2


@pytest.fixture
def make(tmp_path):
    """Make a labeled photograph."""

    def make(name, labels=LABELS, *, size=(30, 20)):
        image = tmp_path / "photographs" / f"{name}.png"
        label = tmp_path / "labels" / f"{name}.png"
        for path in (image, label):
            path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, "brown").save(image)
        Image.fromarray(labels).save(label)
        return LabeledImage(name, image, label)

    return make


def names(items):
    return [item["image"].rsplit("/", 1)[1].removesuffix(".png") for item in items]


def test_masks_are_grey_and_centers_those_of_the_disc(make, tmp_path):
    found = write_training_set([make("a"), make("b")], tmp_path / "work", whole=True, validation=0)
    assert names(found.training) == names(found.validation) == ["a", "b"]
    assert not found.held_out
    assert found.skipped == ()
    listed = fundus_datalist(tmp_path / "work", domain="labels", split="train")
    assert listed == found.training
    for item in listed:
        grey = np.asarray(Image.open(item["label"]))
        assert grey.shape == (20, 30)
        assert np.array_equal(grey, np.choose(LABELS, [255, 128, 0]))
        assert item["disc_center"] == (7.0, 10.0)


def test_regions_have_no_center(make, tmp_path):
    found = write_training_set([make("a"), make("b")], tmp_path / "work", whole=False)
    assert all("disc_center" not in item for item in found.training)
    assert fundus_datalist(tmp_path / "work", domain="labels", split="test") == found.validation


def test_what_cannot_be_used_is_left_out_with_its_reason(make, tmp_path, caplog):
    good = [make("a"), make("b")]
    gone = make("gone")
    gone.image.unlink()
    cut = make("cut", size=(300, 200))
    cut = dataclasses.replace(cut, label=make("cut label", np.tile(LABELS, (10, 10))).label)
    cut.image.write_bytes(cut.image.read_bytes()[:-60])
    text = make("text")
    text.label.write_text("no picture")
    odd = make("odd\\name")
    items = [
        good[0],
        gone,
        cut,
        text,
        make("small", LABELS[:10]),
        make("turned", np.ascontiguousarray(LABELS.T)),
        make("empty", np.zeros_like(LABELS)),
        odd,
        good[1],
    ]
    found = write_training_set(items, tmp_path / "work", whole=True, validation=0)
    assert names(found.training) == ["a", "b"]
    reasons = dict(line.split(": ", 1) for line in found.skipped)
    assert reasons.keys() == {"gone", "cut", "text", "small", "turned", "empty", "odd\\name"}
    assert "gone.png" in reasons["gone"]
    assert "cut.png cannot be read" in reasons["cut"]
    assert "text.png" in reasons["text"]
    assert "has 30x10 pixels, the photograph 30x20" in reasons["small"]
    assert "has 20x30 pixels, the photograph 30x20" in reasons["turned"]
    assert "has no disc" in reasons["empty"]
    assert "a name that no list can hold" in reasons["odd\\name"]
    assert "small: the label map" in caplog.text


def test_too_few_say_what_is_wrong_with_the_others(make, tmp_path):
    items = [make("a"), make("empty", np.zeros_like(LABELS))]
    with pytest.raises(ValueError, match=r"of 2 given 1 can be used[^\n]*\n  empty: .*has no disc"):
        write_training_set(items, tmp_path / "work", whole=False)
    with pytest.raises(ValueError, match=r"of 1 given 0 can be used[^\n]*\n  empty: "):
        write_training_set(items[1:], tmp_path / "work", whole=False)
    with pytest.raises(ValueError, match="of 2 given 2 can be used"):
        write_training_set([items[0], items[0]], tmp_path / "work", whole=False)


def test_about_the_share_is_held_out_and_no_image_is_on_both_sides(make, tmp_path):
    items = [make(f"eye{number}") for number in range(60)]
    found = write_training_set(items, tmp_path / "one", whole=False, validation=0.25, seed=3)
    training, validation = set(names(found.training)), set(names(found.validation))
    assert found.held_out
    assert training | validation == {item.name for item in items}
    assert not training & validation
    assert 7 <= len(validation) <= 23  # 15 expected; 2.4 standard deviations
    other = write_training_set(items, tmp_path / "two", whole=False, validation=0.25, seed=4)
    assert names(other.validation) != names(found.validation)


def test_what_was_held_out_stays_so_as_labels_come_in(make, tmp_path):
    items = [make(f"eye{number}") for number in range(40)]
    sets = [
        write_training_set(part, tmp_path / f"{len(part)}", whole=False, validation=0.25)
        for part in (items[5:25], items)
    ]
    early = {item.name for item in items[5:25]}
    assert set(names(sets[0].validation)) == early & set(names(sets[1].validation))


@pytest.mark.parametrize(
    ("count", "share", "held_out"), [(2, 0.2, 0), (3, 0.2, 1), (2, 0.9, 1), (4, 0.0, 0)]
)
def test_few_images(make, tmp_path, count, share, held_out):
    """Half an image at least must be to hold out; one is always left to train on."""
    for seed in range(5):
        items = [make(f"eye{number}") for number in range(count)]
        folder = tmp_path / f"work{seed}"
        found = write_training_set(items, folder, whole=False, validation=share, seed=seed)
        assert found.held_out == (held_out > 0)
        if held_out:
            assert 1 <= len(found.validation) < count
            assert len(found.training) == count - len(found.validation)
        else:
            assert names(found.training) == names(found.validation)
            assert len(found.training) == count
