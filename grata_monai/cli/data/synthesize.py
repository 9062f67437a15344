# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data synthesize``: paint synthetic fundus domains."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--domain",
    "domains",
    multiple=True,
    help="Synthetic_A to Synthetic_E; give it several times for several. Default: all five.",
)
@click.option(
    "--images",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Images per domain; one in five goes to the test split.",
)
@click.option(
    "--size",
    type=click.IntRange(32, 4096),
    default=512,
    show_default=True,
    help="Side of the images in pixels.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed gives the same images.",
)
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
def synthesize(
    out: Path, domains: tuple[str, ...], images: int, size: int, seed: int, force: bool
) -> None:
    """Write synthetic fundus domains with masks into the folder OUT.

    The layout is that of the published data: OUT/NAME_train.csv and OUT/NAME_test.csv beside
    OUT/NAME/{train,test}/{image,mask}.
    """
    from grata_monai.data import SYNTHETIC_DOMAINS, synthetic_domain, write_synthetic_domain

    names = dict.fromkeys(domains or SYNTHETIC_DOMAINS)
    try:
        chosen = [synthetic_domain(name) for name in names]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--domain") from error
    try:
        if not force and out.is_dir() and any(out.iterdir()):
            raise click.UsageError(
                f"The folder {out} is not empty. Choose another one, or add --force to replace the "
                "synthetic domains in it."
            )
        with click.progressbar(length=images * len(chosen), label="Painting") as bar:
            for domain in chosen:
                write_synthetic_domain(
                    out, domain, images=images, size=size, seed=seed, progress=bar.update
                )
    except OSError as error:
        raise click.ClickException(f"Cannot write into {out}: {error}") from error
    click.echo(f"Wrote {images} images of {size}x{size} pixels for each of: {', '.join(names)}")
