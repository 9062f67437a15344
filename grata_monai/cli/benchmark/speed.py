# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark speed``: how fast methods are here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)


def _names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise click.BadParameter("names nothing.")
    return names


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in _names(context, parameter, value))
    except ValueError as error:
        raise click.BadParameter(
            f"must be whole numbers such as 256,512. Got {value!r}."
        ) from error


@click.command()
@click.option(
    "--methods",
    default="grata",
    show_default=True,
    callback=_names,
    help="Ids separated by commas, or all.",
)
@click.option(
    "--paths",
    default="textbook,exact,fast",
    show_default=True,
    callback=_names,
    help="Ways to run them, separated by commas; see below.",
)
@click.option(
    "--sizes",
    default="256",
    show_default=True,
    callback=_numbers,
    help="Sides of the images in px, separated by commas; multiples of 32.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Timed images of each path.",
)
@click.option(
    "--warmup",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images before them; they show memory and max |dp|.",
)
@click.option("--images", type=_PATH, help="Photographs to adapt to.  [default: synthetic ones]")
@click.option("--domain", help="Domain, if IMAGES has the lists of several.")
@click.option(
    "--roi-size",
    type=click.IntRange(min=1),
    default=800,
    show_default=True,
    help="Side in px of the region around the disc, where IMAGES gives its center.",
)
@click.option("--weights", type=_PATH, help="Source model.  [default: random numbers]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--stages/--no-stages",
    default=True,
    show_default=True,
    help="Show the share of each stage; takes one more image for each path.",
)
@click.option(
    "--require",
    "requirements",
    multiple=True,
    metavar="METHOD:PATH[@SIZE]>=RATIO",
    help="Exit with code 1 unless the ratio is reached, e.g. 'grata:exact@512>=1.3'; may be "
    "repeated.",
)
@click.option("--out", type=_PATH, help="Write all numbers to this .json or .csv file.")
@click.option("--device", help="cpu, cuda, ...  [default: cuda if there is one]")
def speed(out: Path | None, **values: Any) -> None:
    """Time methods beside their textbook form, in turns within this process.

    The textbook form is the method written the plain way, as its authors run it. Ratios say how
    many times as fast a path is; SLOWER marks one that is not as fast. MiB is what a step needs
    above the process at rest, max |dp| the largest difference of a probability from the textbook
    with the same random numbers, "of peak" the share of the operations per second that a large
    matrix product reaches here.

    \b
    Paths, whose words may be joined by "+" (fast+compile):
      textbook       the plain implementation, the system's usual memory
      exact          float32, freed memory kept: the default of all commands
      fast           the lowest precision that the device computes fast
      bf16, tf32     this precision in any case
      given-back     freed memory goes back to the system at once
      compile        compiled network (the first image takes minutes)
      checkpoint     activations computed again in the backward pass: less memory
      views-at-once  the weak views in one batch
      batch4         so many images at once, each on its own (any number)

    Exit code 1 if a path failed or a required ratio was not reached.
    """  # noqa: D301 (click's mark for lines that stay as they are)
    from grata_monai.benchmark.speed import Request, check_file, measure

    if out is not None:
        check_file(out)
    request = Request(**values)
    report = measure(
        request, progress=True, so_far=lambda rows: rows.write(out) if out is not None else None
    )
    click.echo(str(report))
    if out is not None:
        click.echo(f"\nWrote {out}")
    failures = report.failures(request.parsed_requirements)
    for line in failures:
        click.echo(line, err=True)
    if failures:
        raise click.exceptions.Exit(1)
