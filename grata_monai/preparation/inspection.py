# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inspect one image with its mask; runs in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from grata_monai.imaging import exif_orientation, probe, read_mask, read_photograph
from grata_monai.preparation.duplicates import picture_hash
from grata_monai.preparation.findings import Finding
from grata_monai.preparation.folder import ListedImage
from grata_monai.preparation.mask_checks import check_grey_mask
from grata_monai.preparation.problems import FileError, Problem

_AGAIN = "Get or prepare it again."


@dataclass(frozen=True)
class Inspected:
    """What an image turned out to be.

    Args:
        findings: What is wrong with it.
        size: Width and height; None if it cannot be read.
        levels: Grey levels of its mask; empty if there is none that can be read.
        hash: Perceptual hash; empty if it cannot be read or has one color only.
    """

    findings: tuple[Finding, ...]
    size: tuple[int, int] | None = None
    levels: tuple[int, ...] = ()
    hash: bytes = b""


def inspect_image(listed: ListedImage) -> Inspected:
    """Read an image and its mask and return all that is found; missing files are passed over."""
    findings: list[Finding] = []
    size, fingerprint = None, b""
    if listed.image and listed.image_path.is_file():
        try:
            photograph = _read(listed.image_path, "image")
            size = photograph.size
            findings += _photograph_findings(listed, photograph)
            if not _is_flat(photograph):
                fingerprint = picture_hash(photograph)
        except FileError as error:
            findings.append(Finding("error", listed.domain, error.of(listed.image)))
    levels: tuple[int, ...] = ()
    if listed.mask_path is not None and listed.mask_path.is_file():
        try:
            mask = _read(listed.mask_path, "mask")
            levels = tuple(np.unique(np.asarray(mask)).tolist())
            findings += _mask_findings(listed, mask, size)
        except FileError as error:
            findings.append(Finding("error", listed.domain, error.of(listed.mask)))
    return Inspected(tuple(findings), size, levels, fingerprint)


def _read(path: Path, kind: str) -> Image.Image:
    try:
        # the orientation is a finding of its own, so that nobody needs to be warned in the log
        return read_mask(path) if kind == "mask" else read_photograph(path, follow_exif=False)
    except (OSError, ValueError) as error:
        reason = str(error.__cause__ or error)
        raise FileError(f"the {kind} cannot be read", _AGAIN, reason) from error


def _photograph_findings(listed: ListedImage, photograph: Image.Image) -> Iterator[Finding]:
    if _is_flat(photograph):
        what = "the image has one color only"
        yield Finding("error", listed.domain, Problem(listed.image, what, _AGAIN))
    mode = probe(listed.image_path)[1]
    if mode != "RGB":
        what = "the image is not stored as RGB"
        cure = "The authors' code fails on it; store it with three channels of 8 bits."
        yield Finding("warning", listed.domain, Problem(listed.image, what, cure, f"mode {mode}"))
    orientation = exif_orientation(listed.image_path)
    if orientation != 1:
        what = "the image has an EXIF orientation, which is not followed"
        cure = "Turn its pixels if the mask was drawn on the turned image; remove the tag if not."
        problem = Problem(listed.image, what, cure, f"orientation {orientation}")
        yield Finding("warning", listed.domain, problem)


def _mask_findings(
    listed: ListedImage, mask: Image.Image, size: tuple[int, int] | None
) -> Iterator[Finding]:
    if size is not None and mask.size != size:
        what = "image and mask differ in size"
        detail = " and ".join(f"{width}x{height}" for width, height in (size, mask.size))
        problem = Problem(listed.mask, what, _AGAIN, detail)
        yield Finding("error", listed.domain, problem)
    for severity, what, cure, detail in check_grey_mask(np.asarray(mask)):
        yield Finding(severity, listed.domain, Problem(listed.mask, what, cure, detail))


def _is_flat(photograph: Image.Image) -> bool:
    return all(low == high for low, high in photograph.getextrema())  # type: ignore[misc]
