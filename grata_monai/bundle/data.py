# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which images a bundle run works on."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grata_monai._messages import one_line
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.data import (
    FundusItem,
    fundus_datalist,
    listed_domains,
    split_datalist,
)

Datalist = list[FundusItem]
DEFAULT_SHARE = 0.2
LONGEST_STEM = 255 - len("_overlay.png")
_NO_DATA = (
    "There is no data: give --dataset_dir with a folder of images, the root folder of the authors' "
    "layout, a CSV file or one image."
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Items to train on and items to validate on.

    Args:
        training: MONAI datalist; every item has a mask.
        validation: MONAI datalist; every item has a mask.
    """

    training: Datalist
    validation: Datalist


@exits_on_user_error
def inference_datalist(
    source: str | os.PathLike[str] | None, *, domain: str | Sequence[str] | None = None
) -> Datalist:
    """Return the images to segment, in the order of the data set.

    Whether they can be used turns out when their time comes (``ImageStream``).

    Args:
        source: Folder of images, root folder of the authors' layout, CSV file, or one image. None
            gives no images, so that programs which bring their own (an annotation server) can use
            the rest of the config; ``require_images`` refuses it where images are needed.
        domain: Domain in the authors' layout, or a list of domains, one after the other; then the
            items name theirs under ``domain``.
    """
    if source is None:
        return []
    path = checked_path(source, "dataset_dir")
    if domain is None or isinstance(domain, str):
        items = fundus_datalist(path, domain=domain, check=False)
    else:
        items = [
            {**item, "domain": name}
            for name in domain
            for item in fundus_datalist(path, domain=name, check=False)
        ]
    _check_names(items)
    return items


def checked_path(value: str | os.PathLike[str], key: str) -> Path:
    """Return a path of a config, unless MONAI has changed it on the way.

    Args:
        value: What the config or the command line says.
        key: Which key of the config it is.

    Raises:
        ValueError: If it is no path or held a '#', which MONAI's configs read as a separator.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"The {key!r} must be a path; quote it if it is a number. Got {value!r}.")
    if "::" in os.fspath(value):
        raise ValueError(
            f"The {key!r} must not contain '#' or '::', which MONAI's configs read as a separator; "
            f"use the command grata-monai, or rename the folder. Got {os.fspath(value)!r}."
        )
    return Path(value)


@exits_on_user_error
def require_images(items: Datalist) -> None:
    """Check that there are images to work on; MONAI by itself would end as if all were well.

    Args:
        items: MONAI datalist.
    """
    if not items:
        raise ValueError(_NO_DATA)


@exits_on_user_error
def training_split(
    source: str | os.PathLike[str] | None,
    *,
    domain: str | None = None,
    validation: str | float = "auto",
    seed: int = 0,
) -> Split:
    """Return the images to train and to validate on.

    Args:
        source: Root folder of the authors' layout, or another source of ``fundus_datalist``.
        domain: Domain in the authors' layout.
        validation: ``"test"`` trains on the domain's ``_train.csv`` and validates on its
            ``_test.csv``; a share in (0, 1) holds that part of all images out, at random;
            ``"auto"`` is ``"test"`` where there are both lists and else a share of 0.2;
            ``"all"`` validates on all images and leaves none to train on.
        seed: Seed of the random part.
    """
    if source is None:
        raise ValueError(_NO_DATA)
    path = checked_path(source, "dataset_dir")
    if validation == "auto":
        validation = "test" if _has_splits(path, domain) else DEFAULT_SHARE
    items = [] if validation == "test" else fundus_datalist(path, domain=domain)
    if validation == "all":
        parts: tuple[Datalist, Datalist] = ([], items)
    elif validation == "test":
        parts = (
            fundus_datalist(path, domain=domain, split="train"),
            fundus_datalist(path, domain=domain, split="test"),
        )
    elif isinstance(validation, str) or not 0 < validation < 1:
        raise ValueError(
            "The 'validation' must be 'auto', 'test' (the data set's own split), 'all' (only to "
            f"evaluate) or a share in (0, 1). Got {validation!r}."
        )
    else:
        parts = split_datalist(items, validation_share=validation, seed=seed)
    for part in parts:
        _require_masks(part, path)
    return Split(*parts)


def domains_in(root: str | os.PathLike[str]) -> list[str]:
    """Return the names of the domains that a folder in the authors' layout has lists of.

    Args:
        root: The folder.

    Raises:
        ValueError: If it is no such folder.
    """
    path = Path(root)
    names = list(listed_domains(path)) if path.is_dir() else []
    if not names:
        raise ValueError(
            f"{path} has no lists of domains (NAME_train.csv and NAME_test.csv, or NAME.csv); "
            "give the root folder of the authors' layout."
        )
    return names


def common_folder(items: Sequence[FundusItem]) -> str | None:
    """Return the folder below which results keep the images' folders, if they have to.

    Args:
        items: MONAI datalist.

    Returns:
        The deepest folder that all images share, or None if their names differ anyway.
    """
    images = {item["image"] for item in items}
    if len({Path(image).stem for image in images}) == len(images):
        return None
    return shared_folder(items)


def shared_folder(items: Sequence[FundusItem]) -> str:
    """Return the deepest folder that all images are below.

    Args:
        items: MONAI datalist, not empty.
    """
    return os.path.commonpath([os.path.dirname(os.path.abspath(item["image"])) for item in items])


def _has_splits(path: Path, domain: str | None) -> bool:
    try:
        for split in ("train", "test"):
            fundus_datalist(path, domain=domain, split=split, check=False)
    except (ValueError, FileNotFoundError):
        return False
    return True


def _require_masks(items: Datalist, source: Path) -> None:
    bare = [item["image"] for item in items if "label" not in item]
    if bare:
        raise ValueError(
            f"Training and evaluation need a mask for every image of {source}; {bare[0]} has none."
        )


def _check_names(items: Datalist) -> None:
    """Check that results of all images can have names, each its own.

    An image that is listed again is meant so, but has one name: the log warns of it.

    Raises:
        ValueError: If two images of a folder differ by their extension alone, or a name is so long
            that a file system takes none that is longer.
    """
    for item in items:
        stem = os.path.splitext(os.path.basename(item["image"]))[0]
        if len(os.fsencode(stem)) > LONGEST_STEM:
            raise ValueError(
                f"The name of {item['image']} is so long that its results, which add to it, cannot "
                f"be written; rename it to at most {LONGEST_STEM} bytes before the extension."
            )
    images = Counter(item["image"] for item in items)
    for image, times in images.items():
        if times > 1:
            _logger.warning(
                "%s is listed %d times; the last one's masks stay.", one_line(image), times
            )
    stem, count = Counter(os.path.splitext(image)[0] for image in images).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} images are called {stem} up to their extension, so their results would "
            "overwrite each other; rename all but one."
        )
