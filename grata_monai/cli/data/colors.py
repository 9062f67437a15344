# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data colors``: the colors of a source, for the method statistics_choice."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option("--domain", help="Domain, if DATA has the lists of several.")
@click.option("--size", type=int, default=512, show_default=True, help="Side of the input in px.")
@click.option(
    "--roi-size",
    type=int,
    default=800,
    show_default=True,
    help="Side in px of the region around the disc, where DATA gives its center.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File instead of the screen."
)
def colors(source: Path, domain: str | None, size: int, roi_size: int, out: Path | None) -> None:
    """Measure the colors of the images in DATA that a source model was trained on.

    Prints JSON with the mean over images of each channel's mean and deviation, as the network sees
    them. Keep it beside the weights, and give it to the method statistics_choice: in a bundle run
    as --method_options, in a benchmark grid as options.
    """
    from grata_monai._files import write_text
    from grata_monai.data import fundus_datalist, usable_items
    from grata_monai.preparation.colors import domain_colors

    usable, reasons = usable_items(fundus_datalist(source, domain=domain, check=False))
    found = domain_colors(usable, image_size=size, roi_size=roi_size, progress=True)
    numbers = {
        "source_mean": [round(value, 4) for value in found.source_mean],
        "source_std": [round(value, 4) for value in found.source_std],
    }
    if out is None:
        click.echo(json.dumps(numbers))
    else:
        write_text(out, json.dumps(numbers) + "\n")
        click.echo(f"Wrote {out}")
    for image, reason in reasons.items():
        click.echo(f"left out: {image}: {reason}", err=True)
