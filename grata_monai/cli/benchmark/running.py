# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark run``: run a grid."""

from __future__ import annotations

from pathlib import Path

import click

from grata_monai.cli.benchmark._engines import Where, engine_options
from grata_monai.cli.benchmark._options import Request, grid_options


@click.command()
@click.argument("output", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes, which share the cores (local).",
)
@engine_options()
@click.option(
    "--pictures/--no-pictures",
    default=True,
    show_default=True,
    help="Keep pictures and predictions, which a report shows.",
)
@grid_options()
def run(request: Request, output: Path, jobs: int, pictures: bool) -> None:
    """Run a preset or grid in the folder OUT.

    The same command again goes on where it was stopped. Methods, seeds, sources and targets may be
    added to a run; other changes need another folder. Exit code 1 if something failed: then the
    rest went on, and OUT/failures.csv says what. Cells that failed are tried again by the same
    command; to run one anew that went through, remove its folder in OUT/cells.
    """
    from grata_monai.benchmark.runner import describe, run_plan

    where, request = Where.taken_from(request, jobs=jobs)
    plan = where.plan(request)
    with where.open() as engine:
        report = run_plan(plan, output, jobs=jobs, engine=engine, pictures=pictures)
    kept = f", {report.kept} were complete before" if report.kept else ""
    click.echo(f"{len(report.outcomes)} cells run{kept}; rows: {output / 'rows.csv'}")
    for outcome in report.failed:
        click.echo(describe(outcome), err=True)
    if report.failures:
        click.echo(f"{report.failures} failures, see {output / 'failures.csv'}", err=True)
        raise click.exceptions.Exit(1)
