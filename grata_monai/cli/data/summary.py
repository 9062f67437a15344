# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data summary``: one row of numbers per domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from grata_monai.cli.data._inspecting import inspection_options

if TYPE_CHECKING:
    from grata_monai.preparation.summary import SummaryFormat


@click.command()
@inspection_options()
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "markdown", "csv", "json")),
    default="text",
    show_default=True,
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File instead of the screen."
)
def summary(
    folder: Path, domains: tuple[str, ...], jobs: int | None, form: SummaryFormat, out: Path | None
) -> None:
    """Count and measure the images of FOLDER, domain by domain.

    Medians over images (disc diameter, cup-to-disc ratios), mean and standard deviation over all
    pixels that are not black (red, green, blue), and the mean contrast of disc and surround.
    """
    from grata_monai._files import write_text
    from grata_monai.preparation.summary import summarize_folder

    found = summarize_folder(folder, domains=domains, jobs=jobs)
    if out is None:
        click.echo(found.render(form))
    else:
        write_text(out, found.render(form) + "\n")
        click.echo(f"Wrote {out}")
    for image, reason in found.problems.items():
        click.echo(f"left out: {image}: {reason}", err=True)
