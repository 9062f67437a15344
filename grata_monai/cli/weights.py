# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai weights``: bring source models into our format and look into checkpoints."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path)


@click.group()
def weights() -> None:
    """Import and inspect source models.

    Read are the authors' checkpoints (last-Res_Unet.pth), ImageNet ResNet-34 state dicts and
    checkpoints of this package. No code in a file is ever run.
    """


@weights.command("import")
@click.argument("source", metavar="SRC", type=_FILE)
@click.argument("destination", metavar="DST", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--no-heads", is_flag=True, help="Leave heads out, as MONAI's exporters need it.")
@click.option("--force", is_flag=True, help="Replace DST if it exists.")
def import_(source: Path, destination: Path, no_heads: bool, force: bool) -> None:
    """Write the checkpoint SRC to DST in our format."""
    if destination.exists() and not force:
        raise click.ClickException(f"{destination} exists; give --force to replace it.")
    from grata_monai.networks import convert_weights

    report = convert_weights(source, destination, heads=not no_heads)
    click.echo(f"read    {report.path} ({report.kind} format)")
    click.echo(f"taken   {report.summary('taken')}")
    click.echo(f"dropped {report.summary('dropped')}")
    click.echo(f"missing {report.summary('missing')}")
    click.echo(f"wrote   {destination}")


@weights.command()
@click.argument("source", metavar="SRC", type=_FILE)
def show(source: Path) -> None:
    """Say what the checkpoint SRC holds."""
    from grata_monai.networks import read_weights

    found = read_weights(source)
    click.echo(f"format      {found.kind}")
    click.echo(f"tensors     {len(found.state_dict)}")
    click.echo(f"parameters  {found.parameter_count}")
    click.echo(f"heads       {', '.join(found.heads) or 'none'}")
    click.echo(f"not used    {', '.join(found.dropped) or 'nothing'}")
