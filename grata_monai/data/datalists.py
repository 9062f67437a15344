# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI datalists of fundus images: from the published layout, a CSV, a folder or one image."""

from __future__ import annotations

import difflib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from grata_monai._checks import check_choice, check_number
from grata_monai.data._datalist_csv import FundusItem, listed_domains, read_csv_items
from grata_monai.data._image_files import (
    IMAGE_SUFFIXES,
    find_images,
    find_mask,
    is_image_name,
)
from grata_monai.data._usable import usable_items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Split: TypeAlias = Literal["train", "test"]

_logger = logging.getLogger(__name__)


def fundus_datalist(
    source: str | os.PathLike[str],
    *,
    domain: str | None = None,
    split: Split | None = None,
    check: bool = True,
) -> list[FundusItem]:
    """List the images of a source, in the order in which an online stream reads them.

    Args:
        source: One of: a folder in the published layout (CSV lists beside the folders of images),
            a CSV list with the columns ``image`` and, if wanted, ``mask``, ``center_row`` and
            ``center_col``, a folder of images (searched recursively, in natural order; masks are
            found in a folder ``mask`` beside a folder ``image``), or one image.
        domain: For the published layout: which domain, as ``REFUGE``. It can be left out if the
            folder has lists of one domain only.
        split: For the published layout: ``"train"`` or ``"test"`` only. By default both, training
            rows first, as the published code reads them.
        check: Drop items that cannot be used (``usable_items``), with one logged warning each.

    Returns:
        Items ``{"image": path, "label": path, "disc_center": (row, column)}`` with absolute
        paths, the last two only where they are known. Either all items have a label or none has.

    Raises:
        FileNotFoundError: If the source, a list or a listed file is missing.
        ValueError: If the source holds no images, or is not what it claims to be, or ``domain`` or
            ``split`` do not fit it.
    """
    if split is not None:
        check_choice("fundus_datalist", "split", split, ("train", "test"))
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist. Give a folder, a CSV list or an image file."
        )
    lists = listed_domains(path) if path.is_dir() else {}
    if lists or (domain is not None and path.is_dir()):
        items = _items_of_domain(path, lists, domain, split)
    else:
        _refuse_selection(path, domain, split)
        items = _items_of_path(path)
    if check:
        items, _ = usable_items(items)
    return _with_uniform_labels(items, path)


def has_labels(items: Sequence[Mapping[str, object]]) -> bool:
    """Tell whether there are items and all of them have a label, so that they can be scored.

    Example:
        >>> has_labels([{"image": "a.png", "label": "a_mask.png"}, {"image": "b.png"}])
        False
    """
    return bool(items) and all("label" in item for item in items)


def split_datalist(
    items: Sequence[FundusItem], *, validation_share: float = 0.2, seed: int = 0
) -> tuple[list[FundusItem], list[FundusItem]]:
    """Split a datalist into training and validation items, the same way for the same seed.

    Items of the same image stay together, each part keeps the order of the whole, and both parts
    get at least one image.

    Args:
        items: The datalist.
        validation_share: Share of the images that go to validation, between 0 and 1.
        seed: Non-negative number.

    Raises:
        ValueError: If there are fewer than two images or an argument is out of its range.

    Example:
        >>> items = [{"image": f"{number}.png"} for number in range(5)]
        >>> training, validation = split_datalist(items, validation_share=0.4, seed=1)
        >>> len(training), len(validation)
        (3, 2)
    """
    check_number("split_datalist", "validation_share", validation_share, minimum=0.0, maximum=1.0)
    check_number("split_datalist", "seed", seed, minimum=0, integer=True)
    images = list(dict.fromkeys(item["image"] for item in items))
    if len(images) < 2:
        raise ValueError(
            f"split_datalist needs at least two different images, one per part. Got {len(images)}."
        )
    count = min(max(round(validation_share * len(images)), 1), len(images) - 1)
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    validation = {images[index] for index in chosen}
    return (
        [item for item in items if item["image"] not in validation],
        [item for item in items if item["image"] in validation],
    )


def _items_of_domain(
    root: Path, lists: Mapping[str, Mapping[str, Path]], domain: str | None, split: Split | None
) -> list[FundusItem]:
    name = _choose_domain(root, lists, domain)
    files = lists[name]
    if "" in files and len(files) == 1:
        if split is not None:
            raise ValueError(
                f"{name} in {root} has one list without splits ({files[''].name}). "
                f"Leave out the split. Got {split!r}."
            )
        return read_csv_items(files[""])
    wanted = ("train", "test") if split is None else (split,)
    missing = [f"{name}_{part}.csv" for part in wanted if part not in files]
    if missing:
        raise FileNotFoundError(
            f"{root} has no {' and no '.join(missing)}. Add the file, or choose the split that is "
            f"there: {', '.join(sorted(part for part in files if part))}."
        )
    return [item for part in wanted for item in read_csv_items(files[part])]


def _choose_domain(root: Path, lists: Mapping[str, object], domain: str | None) -> str:
    if domain is None:
        if len(lists) == 1:
            return next(iter(lists))
        raise ValueError(
            f"{root} holds several domains: {', '.join(lists)}. Choose one with 'domain'."
        )
    if domain in lists:
        return domain
    if not lists:
        raise ValueError(
            f"{root} has no list of the domain {domain!r}: neither {domain}_train.csv nor "
            f"{domain}.csv. Give the folder that holds the CSV lists, or leave out the domain to "
            "read the images of a folder."
        )
    lowered = {name.lower(): name for name in lists}
    close = difflib.get_close_matches(domain.lower(), lowered, n=1)
    hint = f" Did you mean {lowered[close[0]]!r}?" if close else ""
    raise ValueError(f"{root} has no domain {domain!r}. It has: {', '.join(lists)}.{hint}")


def _refuse_selection(path: Path, domain: str | None, split: Split | None) -> None:
    if domain is not None or split is not None:
        given = "domain" if domain is not None else "split"
        raise ValueError(
            f"The {given!r} parameter of fundus_datalist needs a folder with CSV lists; {path} is "
            f"none. Leave it out or give such a folder. Got {domain or split!r}."
        )


def _items_of_path(path: Path) -> list[FundusItem]:
    """List a CSV file, a folder of images or one image."""
    if path.is_dir():
        images = find_images(path)
        if not images:
            raise ValueError(
                f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}) and no CSV list."
            )
        return [_paired(image, find_mask(image, path)) for image in images]
    if path.suffix.lower() == ".csv":
        return read_csv_items(path)
    if not is_image_name(path):
        raise ValueError(
            f"{path} is neither a CSV list nor an image ({', '.join(IMAGE_SUFFIXES)})."
        )
    return [_paired(path, None)]


def _paired(image: Path, mask: Path | None) -> FundusItem:
    item: FundusItem = {"image": os.path.abspath(image)}
    if mask is not None:
        item["label"] = os.path.abspath(mask)
    return item


def _with_uniform_labels(items: list[FundusItem], source: Path) -> list[FundusItem]:
    """Return the items without labels if some have none: a mean over some images misleads."""
    unlabeled = sum("label" not in item for item in items)
    if unlabeled in {0, len(items)}:
        return items
    _logger.warning(
        "%d of the %d images of %s have no mask; the masks of the others are left aside and "
        "nothing is scored",
        unlabeled,
        len(items),
        source,
    )
    return [_without_label(item) for item in items]


def _without_label(item: FundusItem) -> FundusItem:
    bare = item.copy()
    bare.pop("label", None)
    return bare
