# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""RIM-ONE r3: stereo pairs, masks of two experts and their average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from grata_monai._checks import check_choice
from grata_monai.preparation.decoding import Mask, Notes, decode_binary
from grata_monai.preparation.official import official_stems
from grata_monai.preparation.problems import FileError
from grata_monai.preparation.raw_dataset import Found, RawDataset, group_files, pair_files
from grata_monai.preparation.sources import RawFile

ANNOTATORS = ("average", "expert1", "expert2")
_NAME = r"([GNS]-\d+-[LR])"
_STEREO_RATIO = 1.25  # a pair is about 1.5 times as wide as high, one view 0.75 times


@dataclass(frozen=True, kw_only=True)
class RimOneR3(RawDataset):
    """RIM-ONE r3, 159 eyes, with the 99/60 split of Maninis et al. (2016).

    Files hold two views side by side; the left one is annotated, whichever eye it is.

    Args:
        annotator: Whose masks: "average", "expert1" or "expert2". Which one the published
            folder holds is not known.
    """

    key: ClassVar[str] = "rim-one-r3"
    annotator: str = "average"

    def __post_init__(self) -> None:
        """Check the choices."""
        check_choice("RimOneR3", "annotator", self.annotator, ANNOTATORS)

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return "RIM_ONE_r3"

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""
        images = group_files(files, rf"{_NAME}\.(jpe?g|png|bmp|tiff?)")
        if self.annotator == "average":
            ending = r"(?:-1)?-{role}-Avg\.(png|bmp)"
        else:
            ending = rf"(?:-1)?-{{role}}-exp{self.annotator[-1]}\.(png|bmp)"
        masks = {
            role: group_files(files, _NAME + ending.format(role=role)) for role in ("disc", "cup")
        }
        return pair_files(official_stems(self.domain), images, masks)

    def view(self, photograph: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the left view of a stereo pair; a single view as it is."""
        height, width = photograph.shape[:2]
        return photograph[:, : width // 2] if width > _STEREO_RATIO * height else photograph

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup of the left view.

        Raises:
            FileError: If a mask is not binary, or the disc is marked in the right view.
        """
        mask = np.stack([decode_binary(level) for level in levels])
        left = np.stack([self.view(structure) for structure in mask])
        if mask[0].any() and left[0].sum() < mask[0].sum() / 2:
            raise FileError(
                "the disc is marked in the right view of the stereo pair",
                "Get the original mask: in RIM-ONE r3 all marks are in the left view.",
            )
        return left
