# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark list``: the presets."""

from __future__ import annotations

import click


@click.command("list")
@click.option("--methods", is_flag=True, help="Name the methods of each preset, too.")
def list_(methods: bool) -> None:
    """List the presets: what each is for and how many methods it has."""
    from grata_monai.benchmark.presets import PRESETS, preset

    for name in PRESETS:
        grid = preset(name)
        click.echo(f"{name:18}{len(grid.methods):3d} methods  {grid.title}")
        if methods:
            for method in grid.methods:
                click.echo(f"{'':18}  - {method.name}")
