# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Locate the disc in image files; what worker processes run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grata_monai.imaging import read_photograph, write_png
from grata_monai.localization.classical import locate_disc
from grata_monai.localization.location import DiscLocation
from grata_monai.localization.previews import draw_location

Locate = Callable[[npt.NDArray[np.uint8]], DiscLocation]


@dataclass(frozen=True, kw_only=True)
class LocateFile:
    """Locates the disc in a file and, if wanted, draws a preview; can be sent to other processes.

    Args:
        locate: Finds the disc in a photograph; None: :func:`locate_disc`.
        disc_diameter: As of :func:`locate_disc`; only without ``locate``.
        roi_size: Side of the window in the preview.
    """

    locate: Locate | None = None
    disc_diameter: float | None = None
    roi_size: int = 800

    def __call__(self, job: tuple[str, Path | None]) -> DiscLocation | str:
        """Return where the disc is, or why the image cannot be used.

        Args:
            job: Image file, and the PNG file for its preview or None.

        Raises:
            OSError: If the preview cannot be written.
        """
        image, preview = job
        try:
            photograph = np.asarray(read_photograph(image))
            found = (
                locate_disc(photograph, disc_diameter=self.disc_diameter)
                if self.locate is None
                else self.locate(photograph)
            )
        except (OSError, ValueError) as error:
            return str(error.__cause__ or error)
        if preview is not None:
            title = Path(image).stem
            write_png(
                draw_location(photograph, found, roi_size=self.roi_size, title=title), preview
            )
        return found
