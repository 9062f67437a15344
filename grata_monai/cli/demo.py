# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai demo``: the whole story on synthetic data."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo_output"),
    show_default=True,
    help="Folder for data, source model, results, table and pictures.",
)
@click.option("--epochs", default=16, show_default=True, help="Length of the training.")
@click.option("--size", default=128, show_default=True, help="Side of the images, 32 times n.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything.")
def demo(output: Path, epochs: int, size: int, seed: int) -> None:
    """Train a source model on synthetic fundus images and adapt it to other domains.

    Compares no adaptation, test-time statistics (PTBN), TENT and GraTa on the source's own domain
    and on three others, prints one table and writes pictures of the same images with each method.
    """
    import logging

    from grata_monai.bundle.demo import Demo, domain_titles, verdict

    logging.disable(logging.INFO)  # progress bars and the table say it all
    settings = Demo(output, image_size=size, epochs=epochs, seed=seed)
    click.echo("\n".join(domain_titles(settings.domains)))
    table = settings.run()
    click.echo("\nDice in points (mean over images):\n")
    click.echo(table.to_string(index=False, float_format="%.2f"))
    click.echo("\n" + "\n".join(verdict(table, settings.source)))
    for domain in settings.targets:
        click.echo(f"Look at {output / domain}.png")
