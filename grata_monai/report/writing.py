# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From the folder of a benchmark to tables, figures and a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from grata_monai.report.analysis import analyse
from grata_monai.report.facts import about, lead_sentence, summary_cards
from grata_monai.report.gallery import build_gallery, changes
from grata_monai.report.html import Figure, focus_method, write_page
from grata_monai.report.run import Run, read_run
from grata_monai.report.sections import build_sections
from grata_monai.report.table_files import write_table

DEFAULT_FOLDER = "report"
MAX_IMAGES = 200


@dataclass(frozen=True)
class Report:
    """What was written.

    Args:
        page: The HTML file.
        tables: Markdown, LaTeX and CSV files.
        figures: PNG and PDF files.
        state: One line on how much of the plan is in it.
    """

    page: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    state: str


def write_report(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    max_images: int = MAX_IMAGES,
    figures: bool = True,
) -> Report:
    """Write the report of a benchmark; one that is not complete is reported as far as it is.

    Args:
        run: Folder that ``grata-monai benchmark run`` wrote.
        output: Folder for ``report.html``, ``tables`` and ``figures``; RUN/report by default.
        max_images: How many different images the page's browser holds; with 16 methods 100 images
            take some 3 MB.
        figures: Whether to draw figures, which needs matplotlib.

    Raises:
        FileNotFoundError: If there is no such folder or it has no plan.
        ValueError: If nothing has been scored yet, a file is damaged or an argument out of range.
        ModuleNotFoundError: If matplotlib or jinja2 is missing.
        OSError: If the output cannot be written.
    """
    found = read_run(run)
    folder = Path(output) if output is not None else found.folder / DEFAULT_FOLDER
    gallery = build_gallery(found, max_images=max_images)
    analysis = analyse(found)
    sections = build_sections(analysis)
    tables = [table for section in sections for table in section.tables]
    written = [path for table in tables for path in write_table(table, folder / "tables")]
    drawn = _draw(found, folder / "figures") if figures else []
    page = folder / "report.html"
    write_page(
        page,
        found,
        lead=lead_sentence(found),
        cards=summary_cards(analysis),
        sections=sections,
        figures=drawn,
        gallery=gallery,
        facts=about(found),
    )
    paths = tuple(path for figure in drawn for path in figure.files)
    return Report(page, tuple(written), paths, found.state)


def _draw(run: Run, folder: Path) -> list[Figure]:
    from grata_monai.report.figures import draw_figures

    return draw_figures(run, changes(run, run.rows), focus_method(run), folder)
