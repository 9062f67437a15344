# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark status`` and ``summary``: read a run."""

from __future__ import annotations

from pathlib import Path

import click

_RUN = click.argument("run", type=click.Path(path_type=Path))


@click.command()
@_RUN
def status(run: Path) -> None:
    """Show how far each cell of RUN is."""
    from grata_monai.benchmark.progress import cell_progress

    cells = list(cell_progress(run))
    for cell in cells:
        total = str(cell.total) if cell.total else "-"
        failed = f", {cell.failed_images} failed" if cell.failed_images else ""
        reason = f": {cell.error}" if cell.error else ""
        click.echo(f"{cell.status:9}{cell.images:6d} of {total:6}{cell.cell}{failed}{reason}")
    complete = sum(cell.status == "complete" for cell in cells)
    click.echo(f"{complete} of {len(cells)} cells are complete.")


@click.command()
@_RUN
def summary(run: Path) -> None:
    """Show scores, tests and failures of RUN.

    Scores are means as each protocol takes them (over targets or over images), with the standard
    deviation over seeds where there are several. Tests compare each method with No Adapt and PTBN
    image by image.
    """
    from grata_monai.benchmark.summary import summary_text

    click.echo(summary_text(run))
