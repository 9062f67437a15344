# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data verify-against``: compare two prepared folders."""

from __future__ import annotations

from pathlib import Path

import click

from grata_monai.cli.data._inspecting import inspection_options

_SIDE = click.IntRange(16, 16384)


@click.command("verify-against")
@inspection_options()
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--min-dice", type=click.FloatRange(0, 1), default=0.99, show_default=True)
@click.option(
    "--max-shift",
    type=click.FloatRange(min=0),
    help="Largest shift between the two framings, in pixels of the photograph.  [default: any]",
)
@click.option(
    "--roi-size",
    type=_SIDE,
    help="Side of FOLDER's regions in pixels of the photographs.  [default: as roi.csv says]",
)
@click.option("--other-roi-size", type=_SIDE, help="Likewise for OTHER.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="CSV file, a row per eye."
)
def verify_against(
    folder: Path,
    other: Path,
    domains: tuple[str, ...],
    jobs: int | None,
    min_dice: float,
    max_shift: float | None,
    roi_size: int | None,
    other_roi_size: int | None,
    out: Path | None,
) -> None:
    """Compare the masks and images of FOLDER with those that OTHER has of the same eyes.

    Eyes are matched by name, regions aligned and compared where they overlap. Exit code 1 if a
    Dice is below --min-dice or a pair cannot be compared.
    """
    from grata_monai._files import write_text
    from grata_monai.preparation.compare import compare_folders
    from grata_monai.preparation.problems import describe_problems

    found = compare_folders(
        folder, other, domains=domains, roi_size=roi_size, other_roi_size=other_roi_size, jobs=jobs
    )
    problems = list(found.problems(min_dice=min_dice, max_shift=max_shift))
    if out is not None:
        rows = found.rows.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_text(out, rows)
    for note in found.notes:
        click.echo(f"note: {note}")
    if problems:
        click.echo(f"{describe_problems(problems)}\n")
    click.echo(found.table().to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    if problems:
        raise click.exceptions.Exit(1)
