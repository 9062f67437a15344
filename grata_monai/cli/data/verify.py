# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data verify``: check a prepared folder."""

from __future__ import annotations

from pathlib import Path

import click

from grata_monai.cli.data._inspecting import inspection_options


@click.command()
@inspection_options()
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings, too.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for all findings."
)
def verify(
    folder: Path, domains: tuple[str, ...], jobs: int | None, strict: bool, report: Path | None
) -> None:
    """Check the lists, images and masks of FOLDER, which is in the authors' layout.

    Exit code 0 if there are no errors. Warnings are what a person should look at.
    """
    from grata_monai.preparation.verify import verify_folder

    found = verify_folder(folder, domains=domains, jobs=jobs)
    click.echo(found.describe())
    if report is not None:
        found.write(report)
    errors, warnings = len(found.errors), len(found.warnings)
    click.echo(f"\n{folder}: {errors} errors, {warnings} warnings.")
    if errors or (strict and warnings):
        raise click.exceptions.Exit(1)
