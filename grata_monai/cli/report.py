# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai report``: tables, figures and a page from a benchmark's folder."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", metavar="RUN", type=_PATH)
@click.option("--output", type=_PATH, help="Folder for the report.  [default: RUN/report]")
@click.option(
    "--max-images",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Images in the page's browser; the largest losses and gains are always among them.",
)
@click.option("--figures/--no-figures", default=True, help="Draw figures (needs matplotlib).")
def report(run: Path, output: Path | None, max_images: int, figures: bool) -> None:
    """Write tables, figures and one HTML page about the benchmark in RUN.

    RUN is what 'grata-monai benchmark run' wrote; it need not have come to its end. The page
    report.html holds everything: sortable tables, filters, and all methods side by side on each
    image. It opens from disk and needs no internet. Tables are there as Markdown, LaTeX and CSV as
    well, figures as PNG and PDF.
    """
    try:
        from grata_monai.report import write_report

        written = write_report(run, output, max_images=max_images, figures=figures)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "grata_monai":
            raise
        raise click.ClickException(
            f"The report needs {package}, which is not installed: "
            "pip install 'grata-monai[benchmark]'."
        ) from error
    click.echo(f"The run is {written.state}.")
    size = written.page.stat().st_size / 1e6
    click.echo(f"page     {written.page} ({size:.1f} MB)")
    click.echo(f"tables   {len(written.tables)} files in {written.page.parent / 'tables'}")
    if figures:
        click.echo(f"figures  {len(written.figures)} files in {written.page.parent / 'figures'}")
