# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Turn photographs and the label maps that people saved into the lists that a training reads."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grata_monai.data import FundusItem, usable_items
from grata_monai.imaging import (
    BACKGROUND_GREY,
    CUP_GREY,
    RIM_GREY,
    disc_center,
    probe,
    write_png,
)
from grata_monai.imaging.reading import UNREADABLE
from grata_monai.label.label_files import read_label_file

DOMAIN = "labels"
_GREYS = np.array([BACKGROUND_GREY, RIM_GREY, CUP_GREY], dtype=np.uint8)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabeledImage:
    """A photograph and its label map.

    Args:
        name: What messages call it.
        image: PNG, JPEG, TIFF, BMP or DICOM.
        label: Label map as ``read_label_file`` reads it, in the photograph's size.
    """

    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class TrainingSet:
    """What :func:`write_training_set` wrote.

    Args:
        folder: Holds the lists of the domain ``labels`` in the published layout.
        training: Items to train on.
        validation: Items to validate on.
        held_out: Whether these are others than those to train on.
        skipped: One line per labeled image that cannot be used.
    """

    folder: Path
    training: list[FundusItem]
    validation: list[FundusItem]
    held_out: bool
    skipped: tuple[str, ...]


def write_training_set(
    items: Sequence[LabeledImage],
    folder: Path,
    *,
    whole: bool,
    validation: float = 0.2,
    seed: int = 0,
) -> TrainingSet:
    """Write grey masks and the lists of images to train and to validate on.

    Which images are held out to validate on depends on their file names and the seed alone. Once
    there are enough to hold some out by lot, what was held out stays so as more labels come in, and
    a later model is compared on images that no earlier one has seen. The share is therefore only
    met about. While there are few, an image held out may have been trained on before; that favors
    the older model.

    Args:
        items: Photographs with label maps; broken ones are left out, with a logged warning.
        folder: Where the lists and masks go.
        whole: Whether the images are whole photographs: then the center of the labeled disc is
            listed, around which the training cuts.
        validation: Share of the images to hold out, in [0, 1). Where that is less than half an
            image, all are trained on and validated on.
        seed: Of the choice.

    Raises:
        ValueError: If fewer than two images can be used; the message says what is wrong with the
            others.
        OSError: If the folder cannot be written.
    """
    usable, skipped = _usable(items, folder / "masks", whole=whole)
    if len({item["image"] for item in usable}) < 2:
        reasons = "".join(f"\n  {line}" for line in skipped)
        raise ValueError(
            f"Fine-tuning needs at least two labeled images; of {len(items)} given "
            f"{len(usable)} can be used. Label more, or correct these:{reasons or ' none'}"
        )
    training, held_out = _split(usable, validation, seed)
    _write_list(folder / f"{DOMAIN}_train.csv", training)
    _write_list(folder / f"{DOMAIN}_test.csv", held_out or training)
    return TrainingSet(folder, training, held_out or training, bool(held_out), tuple(skipped))


def _usable(
    items: Sequence[LabeledImage], masks: Path, *, whole: bool
) -> tuple[list[FundusItem], list[str]]:
    """Return the items with a mask each, and what is wrong with the others."""
    found: list[FundusItem] = []
    skipped: list[str] = []
    names: dict[str, str] = {}
    for number, item in enumerate(items):
        try:
            ready = _with_mask(item, masks / f"{number:05d}.png", whole=whole)
        except UNREADABLE as error:
            skipped.append(f"{item.name}: {error}")
            _logger.warning("%s: %s; it is left out", item.name, error)
        else:
            found.append(ready)
            names[ready["image"]] = item.name
    try:
        usable, reasons = usable_items(found)
    except ValueError as error:  # none is left
        return [], [*skipped, *([str(error)] if found else [])]
    skipped += [f"{names[image]}: {reason}" for image, reason in reasons.items()]
    return usable, skipped


def _with_mask(item: LabeledImage, mask: Path, *, whole: bool) -> FundusItem:
    """Write an item's grey mask and return its entry of the list."""
    labels = read_label_file(item.label)
    (width, height), _ = probe(item.image)
    if labels.shape != (height, width):
        raise ValueError(
            f"the label map {item.label} has {labels.shape[1]}x{labels.shape[0]} pixels, the "
            f"photograph {width}x{height}; label it again"
        )
    if not labels.any():
        raise ValueError(f"the label map {item.label} has no disc; label it again")
    image = item.image.absolute().as_posix()
    if "\\" in image or image.encode() != image.strip().encode():
        raise ValueError(f"{image!r} has a name that no list can hold; rename it")
    grey = _GREYS[labels]
    write_png(grey, mask)
    entry: FundusItem = {"image": image, "label": str(mask)}
    if whole:
        entry["disc_center"] = disc_center(grey)
    return entry


def _split(
    items: list[FundusItem], share: float, seed: int
) -> tuple[list[FundusItem], list[FundusItem]]:
    """Return the items to train on and those held out, of which there may be none."""
    lots = {item["image"]: _lot(item["image"], seed) for item in items}
    if round(share * len(lots)) < 1:
        return items, []
    drawn = sorted(lots, key=lambda image: (lots[image], image))
    count = sum(lot < share for lot in lots.values())
    chosen = set(drawn[: min(max(count, 1), len(drawn) - 1)])
    return (
        [item for item in items if item["image"] not in chosen],
        [item for item in items if item["image"] in chosen],
    )


def _lot(image: str, seed: int) -> float:
    """Return a number in [0, 1) that only an image's file name and the seed decide."""
    digest = hashlib.sha256(f"{seed}/{Path(image).name}".encode()).hexdigest()
    return int(digest[:13], 16) / 16**13


def _write_list(path: Path, items: Sequence[FundusItem]) -> None:
    """Write a list in the published layout; masks by their place beside it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", "center_row", "center_col"])
        for item in items:
            mask = Path(item["label"]).relative_to(path.parent).as_posix()
            writer.writerow([item["image"], mask, *item.get("disc_center", ("", ""))])
