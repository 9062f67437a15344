# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Drishti-GS1: soft maps of how many of four experts agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from grata_monai._checks import check_choice, check_number
from grata_monai.preparation.decoding import SIZE_RULES, Mask, Notes, unknown_levels
from grata_monai.preparation.official import official_stems
from grata_monai.preparation.raw_dataset import Found, RawDataset, group_files, pair_files
from grata_monai.preparation.sources import RawFile

_NAME = r"(drishtiGS_\d{3})"
_EXPERTS = 4


@dataclass(frozen=True, kw_only=True)
class DrishtiGS(RawDataset):
    """Drishti-GS1, 101 eyes, with its official 50/51 split.

    Args:
        agreement: How many of the four experts must agree, 1 to 4. The default of 4 gives the
            masks of the published folders of this family (pOSAL, BEAL); the paper does not say.
        size_mismatch: What to do where photograph and mask differ in size: "resize" (by the
            nearest pixel, up to 1 %, which one mirror needs), "crop" or "error".
    """

    key: ClassVar[str] = "drishti-gs"
    agreement: int = _EXPERTS
    size_mismatch: str = "resize"

    def __post_init__(self) -> None:
        """Check the choices."""
        check_number(
            "DrishtiGS", "agreement", self.agreement, minimum=1, maximum=_EXPERTS, integer=True
        )
        check_choice("DrishtiGS", "size_mismatch", self.size_mismatch, SIZE_RULES)

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return "Drishti_GS"

    @property
    def size_rule(self) -> str:
        """What to do if photograph and mask differ in size."""
        return self.size_mismatch

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""
        images = group_files(files, rf"{_NAME}\.(png|jpe?g|bmp|tiff?)")
        masks = {
            role: group_files(files, rf"{_NAME}_{part}segSoftmap\.(png|bmp)")
            for role, part in (("disc", "OD"), ("cup", "cup"))
        }
        return pair_files(official_stems(self.domain), images, masks)

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return where enough experts saw disc and cup."""
        return np.stack([_experts(level) >= self.agreement for level in levels])


def _experts(levels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return how many experts agree: 0..4 for the levels 0, 64, 128, 191, 255."""
    known = np.arange(_EXPERTS + 1) * 255 / _EXPERTS
    distance = np.abs(np.arange(256)[:, None] - known)
    steps = np.where(distance.min(axis=1) <= 1, distance.argmin(axis=1), -1)
    experts: npt.NDArray[np.int64] = steps[np.clip(levels, 0, 255)]
    off = (experts < 0) | (levels > 255)
    if off.any():
        raise unknown_levels(levels[off], "0, 64, 128, 191 and 255 for 0 to 4 experts")
    return experts
