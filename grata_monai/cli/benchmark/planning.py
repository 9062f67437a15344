# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark plan``: what would run."""

from __future__ import annotations

from pathlib import Path

import click

from grata_monai.cli.benchmark._options import Request, grid_options


@click.command()
@click.option(
    "--write-grid",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the grid to this JSON file, to change it and run it with --grid.",
)
@grid_options()
def plan(request: Request, write_grid: Path | None) -> None:
    """Show the cells of a preset or grid, their images and roughly how long they take."""
    from grata_monai.benchmark import write_grid as write
    from grata_monai.benchmark.cost import estimated_seconds
    from grata_monai.benchmark.plan import lacking_heads

    found = request.plan()
    if write_grid is not None:
        write(found.grid, write_grid)
    cells = found.grid.cells()
    for cell in cells:
        click.echo(f"{len(found.stream(cell)):6d} images  {cell.id}")
    for name, domain in found.domains.items():
        for image, reason in domain.skipped.items():
            click.echo(f"left out of {name}: {image}: {reason}", err=True)
    for line in lacking_heads(found):
        click.echo(f"will fail: {line}", err=True)
    images = sum(len(found.stream(cell)) for cell in cells)
    hours = estimated_seconds(found, cells) / 3600
    click.echo(
        f"{len(cells)} cells, {images} images, roughly {hours:.1f} h one after the other on "
        f"{found.device} at {found.grid.image_size} px"
    )
