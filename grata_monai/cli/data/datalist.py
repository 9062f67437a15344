# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data datalist``: JSON lists for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--domain", "domains", multiple=True, required=True, help="Domain; may be repeated.")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file to write.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("monai", "decathlon")),
    default="monai",
    show_default=True,
    help="monai: a list of image and label, in the order of an online stream; decathlon: what "
    "MONAI Label and Auto3DSeg read.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 1000),
    default=None,
    help="Deal the training images out to this many folds; goes with decathlon.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of folds.")
@click.option("--absolute", is_flag=True, help="Absolute paths instead of relative to the file.")
@click.option(
    "--label-maps",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for label maps (0 background, 1 rim, 2 cup) to list instead of the grey masks; "
    "programs other than this one need them.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: all cores]")
def datalist(folder: Path, out: Path, folds: int | None, **options: Any) -> None:
    """Write the images and masks of domains of FOLDER as a JSON list."""
    from grata_monai.preparation.export import GREY, LABELS, export_datalist

    counts = export_datalist(folder, out, folds=folds or 0, **options)
    click.echo(f"Wrote {out}: {counts['training']} training and {counts['test']} test images.")
    encoding = GREY if options["label_maps"] is None else LABELS
    click.echo(f"Labels: {encoding if counts['labels'] else 'none'}.")
