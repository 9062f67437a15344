# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""All figures of a report. Importing it needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grata_monai.report.figures.boxes import draw_boxes
from grata_monai.report.figures.canvas import method_lines
from grata_monai.report.figures.curves import COSINE, DICE, RATE, draw_curve, draw_gradient_cosines
from grata_monai.report.figures.heat_map import draw_heat_maps
from grata_monai.report.figures.panel import draw_panel
from grata_monai.report.html import Figure
from grata_monai.report.run import Run

__all__ = ["draw_figures"]


def draw_figures(run: Run, changes: pd.Series, focus: str, folder: Path) -> list[Figure]:
    """Draw every figure for which the run has numbers.

    Args:
        run: The run.
        changes: Per row of the run, its Dice minus that of No Adapt.
        focus: Method that is drawn with thick lines and chooses the panel's images.
        folder: Where the PNG and PDF files go.

    Raises:
        OSError: If the folder cannot be written.
    """
    lines = method_lines(run.methods, run.baseline, focus)
    drawn = draw_panel(run, changes, focus, folder)
    drawn += draw_heat_maps(run, changes, folder)
    drawn += draw_boxes(run, changes, lines, folder)
    drawn += draw_curve(run, DICE, lines, folder)
    drawn += draw_gradient_cosines(run, lines, folder)
    for curve in (COSINE, RATE):
        drawn += draw_curve(run, curve, lines, folder)
    return [Figure(name, f"{text}.", text, files) for name, text, files in drawn]
