# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Lists of a prepared folder for other programs: MONAI, MONAI Label, Auto3DSeg."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from grata_monai._checks import check_choice, check_number
from grata_monai._files import write_text
from grata_monai.data import DOMAINS
from grata_monai.preparation.folder import ListedImage, listed_images
from grata_monai.preparation.label_maps import write_label_maps
from grata_monai.preparation.problems import Problem, describe_problems

ListFormat: TypeAlias = Literal["monai", "decathlon"]
LIST_FORMATS: tuple[ListFormat, ...] = ("monai", "decathlon")
GREY = "grey levels: 0 cup, 1 to 254 rim, 255 background (write label maps for other programs)"
LABELS = "0 background, 1 rim (disc without cup), 2 cup"
_LABELS = {"0": "background", "1": "rim", "2": "cup"}
_REFERENCE = (
    'Domains as in Z. Chen et al., "Gradient Alignment Improves Test-Time Adaptation for Medical '
    'Image Segmentation", AAAI 2025, section 4.1'
)


def export_datalist(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    domains: Sequence[str],
    form: ListFormat = "monai",
    folds: int = 0,
    seed: int = 0,
    absolute: bool = False,
    label_maps: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> dict[str, int]:
    """Write the images and masks of domains as a JSON list.

    Args:
        root: Folder in the authors' layout.
        out: JSON file to write.
        domains: Names of domains, in the order of the list.
        form: "monai": a list of ``{"image", "label"}``, training rows first, without labels where
            there are no masks. "decathlon": the dictionary of the Medical Segmentation Decathlon,
            which ``monai.data.load_decathlon_datalist``, MONAI Label and Auto3DSeg read; images of
            a list without splits are training images.
        folds: Give each training item of the form "decathlon" a ``fold``, 0 to folds - 1, even
            within each domain; 0 gives none.
        seed: Of the folds.
        absolute: Write absolute paths; by default they start from the folder of ``out``.
        label_maps: Folder for label maps (0, 1, 2) to list instead of the grey masks.
        jobs: Processes that write label maps; None: as many as there are cores.
        progress: Whether to show a progress bar.

    Returns:
        The number of items: "training", "test", and "labels" for those of both with a label.

    Raises:
        FileNotFoundError: If there is no such folder, or files of its lists are missing.
        ValueError: If there is no such domain, masks are missing or an argument does not fit.
    """
    _check(domains, form, folds, seed)
    by_domain = listed_images(root, domains)
    images = [image for rows in by_domain.values() for image in rows]
    _check_files(images)
    with_masks = _have_masks(images, needed=form == "decathlon" or label_maps is not None)
    labels: list[Path | None] = [image.mask_path if with_masks else None for image in images]
    if label_maps is not None:
        labels = [*write_label_maps(images, label_maps, jobs=jobs, progress=progress)]
    base = None if absolute else Path(out).absolute().parent
    items = [
        _item(image.image_path, label, base) for image, label in zip(images, labels, strict=True)
    ]
    is_test = [image.split == "test" for image in images]
    content: Any = items
    if form == "decathlon":
        if folds:
            _add_folds(images, items, folds, seed)
        encoding = GREY if label_maps is None else LABELS
        content = _decathlon(list(by_domain), items, is_test, encoding)
    write_text(out, json.dumps(content, indent=1) + "\n")
    return {
        "training": len(items) - sum(is_test),
        "test": sum(is_test),
        "labels": len(items) if with_masks else 0,
    }


def _check(domains: Sequence[str], form: str, folds: int, seed: int) -> None:
    owner = "export_datalist"
    check_choice(owner, "form", form, LIST_FORMATS)
    check_number(owner, "folds", folds, minimum=0, maximum=1000, integer=True)
    check_number(owner, "seed", seed, minimum=0, integer=True)
    if not domains:
        raise ValueError("export_datalist needs a domain at least, as REFUGE.")
    if folds == 1:
        raise ValueError("One fold leaves nothing to train on; give 2 or more. Got 1.")
    if folds and form != "decathlon":
        raise ValueError("Folds go with the form 'decathlon' only. Choose it, or leave them out.")


def _check_files(images: Sequence[ListedImage]) -> None:
    missing = [
        Problem(cell or image.row, "the file is missing", "See `grata-monai data verify`.")
        for image in images
        for cell, path in ((image.image, image.image_path), (image.mask, image.mask_path))
        if path is not None and not path.is_file()
    ]
    if missing:
        raise FileNotFoundError(describe_problems(missing))


def _have_masks(images: Sequence[ListedImage], *, needed: bool) -> bool:
    """Tell whether all images have masks; some are as good as none, as for a MONAI datalist."""
    without = [image for image in images if not image.mask]
    if without and needed:
        raise ValueError(
            f"{len(without)} of the {len(images)} images have no mask, the first in "
            f"{without[0].row}. Choose domains with masks, or the form 'monai' without label maps."
        )
    if without and len(without) < len(images):
        raise ValueError(
            f"{len(without)} of the {len(images)} images have no mask, the first in "
            f"{without[0].row}. Add the masks, or list domains with and without masks apart."
        )
    return not without


def _item(image: Path, label: Path | None, base: Path | None) -> dict[str, Any]:
    paths = {"image": image} if label is None else {"image": image, "label": label}
    return {key: _written(path, base) for key, path in paths.items()}


def _written(path: Path, base: Path | None) -> str:
    whole = os.path.abspath(path)
    if base is None:
        return whole
    try:
        return Path(os.path.relpath(whole, base)).as_posix()
    except ValueError as error:  # another drive
        raise ValueError(
            f"There is no relative path from {base} to {whole}. Ask for absolute paths."
        ) from error


def _add_folds(
    images: Sequence[ListedImage], items: Sequence[dict[str, Any]], folds: int, seed: int
) -> None:
    """Deal the training items of each domain out to the folds, in random order."""
    generator = np.random.default_rng(seed)
    dealt = 0
    for domain in dict.fromkeys(image.domain for image in images):
        places = [
            index
            for index, image in enumerate(images)
            if image.domain == domain and image.split != "test"
        ]
        for index in generator.permutation(places).tolist():
            # goes on where the last domain has stopped, so that the folds stay even in sum
            items[index]["fold"] = dealt % folds
            dealt += 1
    if dealt < folds:
        raise ValueError(f"{dealt} training images are too few for {folds} folds.")


def _decathlon(
    domains: Sequence[str],
    items: Sequence[Mapping[str, Any]],
    is_test: Sequence[bool],
    encoding: str,
) -> dict[str, Any]:
    known = [DOMAINS[name] for name in domains if name in DOMAINS]
    titles = [DOMAINS[name].title if name in DOMAINS else name for name in domains]
    terms = [
        f"{name}: {DOMAINS[name].terms if name in DOMAINS else 'ask the owners.'}"
        for name in domains
    ]
    training = [item for item, test in zip(items, is_test, strict=True) if not test]
    test = [item for item, test in zip(items, is_test, strict=True) if test]
    return {
        "name": "_".join(domains),
        "description": f"Optic disc and cup in color fundus photographs: {'; '.join(titles)}",
        "reference": _REFERENCE if len(known) == len(domains) else "",
        "licence": " ".join(terms),
        "tensorImageSize": "2D",
        "modality": {"0": "red", "1": "green", "2": "blue"},
        "labels": _LABELS,
        "label_encoding": encoding,
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
