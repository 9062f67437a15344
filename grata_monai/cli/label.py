# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai label``: annotation servers (MONAI Label) whose model adapts to the scanner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_APP = click.argument("app", type=_FOLDER)


@click.group()
def label() -> None:
    """Serve a model to annotators with MONAI Label, adapted to their scanner.

    `bash scripts/label.sh` installs MONAI Label into an environment of its own and starts it.
    """


@label.command()
@_APP
@click.option("--weights", required=True, type=_FILE, help="Source model.")
@click.option("--size", type=int, default=512, show_default=True, help="Side of the input in px.")
@click.option(
    "--roi-size",
    type=int,
    default=800,
    show_default=True,
    help="Side in px of the region around the disc; that of training.",
)
@click.option(
    "--regions", is_flag=True, help="Studies are regions around the disc, not whole photographs."
)
@click.option(
    "--method", default="grata", show_default=True, help="Method of requests naming none."
)
@click.option("--beta", type=float, help="Base learning rate.  [default: the method's]")
@click.option(
    "--locator",
    type=click.Choice(["network", "classical"]),
    default="network",
    show_default=True,
    help="How the disc is found in whole photographs.",
)
@click.option("--device", help="cpu, cuda, cuda:1, ...  [default: cuda if there is one]")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of convolutions; bf16 takes half the time where the processor has instructions for it.",
)
@click.option(
    "--guard/--no-guard",
    default=True,
    show_default=True,
    help="Segment photographs with a fault (constant, no fundus) without learning from them.",
)
@click.option(
    "--max-upload-mb", type=float, default=64.0, show_default=True, help="Larger uploads: refused."
)
def init(app: Path, weights: Path, size: int, regions: bool, **options: Any) -> None:
    """Make the folder APP of a MONAI Label app, with a source model as its first version."""
    from grata_monai.label import LabelSettings, init_app

    framing: Any = "regions" if regions else "photographs"
    settings = LabelSettings(image_size=size, framing=framing, **options)
    version = init_app(app, weights, settings)
    click.echo(
        f"Wrote {app} with {weights} as {version.name}. Start it: grata-monai label start {app} "
        "--studies FOLDER"
    )


@label.command()
@_APP
@click.option("--studies", required=True, type=_FOLDER, help="Folder of photographs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--scoring/--no-scoring",
    default=True,
    show_default=True,
    help="Score new studies in the background, for the order hardest_first.",
)
@click.option(
    "--conf",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Put a setting over that of APP/settings.json; may be repeated.",
)
def start(
    app: Path,
    studies: Path,
    host: str,
    port: int,
    scoring: bool,
    conf: tuple[tuple[str, str], ...],
) -> None:
    """Start MONAI Label's server with APP on a folder of photographs; Ctrl-C stops it.

    The review page is at /grata/, the API at /. Settings are in APP/settings.json; MONAI Label's
    own are environment variables (MONAI_LABEL_AUTH_ENABLE, ...).
    """
    from grata_monai.label import server_command

    command, environment = server_command(
        app, studies, host=host, port=port, scoring=scoring, conf=dict(conf)
    )
    click.echo(f"Look at http://{host}:{port}/grata/ once it has started.")
    os.execve(command[0], command, environment)


@label.command()
@_APP
def versions(app: Path) -> None:
    """List the versions of APP's model; * is served."""
    from grata_monai.label import app_versions

    store = app_versions(app)
    current = store.current().name
    for one in store.all():
        facts = {key: value for key, value in one.info.items() if key != "sha256"}
        click.echo(f"{'*' if one.name == current else ' '} {one.name} {facts}")


@label.command()
@_APP
@click.argument("weights", type=_FILE)
@click.option("--note", default="", help="What to remember about it.")
def add(app: Path, weights: Path, note: str) -> None:
    """Add the source model WEIGHTS to APP; a running server serves it from the next request on."""
    from grata_monai.label import app_versions

    store = app_versions(app)
    version = store.add(weights, kind="imported", note=note)
    click.echo(f"{version.name} is served now.")


@label.command()
@_APP
@click.argument("version")
def use(app: Path, version: str) -> None:
    """Serve another VERSION of APP's model, e.g. v0001, or "previous" to roll back."""
    from grata_monai.label import app_versions

    store = app_versions(app)
    if version == "previous":
        parent = store.previous()
        if parent is None:
            raise click.ClickException("The version in use was made from no other one.")
        version = parent.name
    store.make_current(version)
    click.echo(f"{version} is served now.")


@label.command()
@_APP
@click.option("--epochs", default=16, show_default=True, help="Length of the training.")
@click.option("--size", default=128, show_default=True, help="Side of the input, 32 times n.")
@click.option("--images", default=8, show_default=True, help="Photographs to annotate.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything.")
def demo(app: Path, epochs: int, size: int, images: int, seed: int) -> None:
    """Make APP with synthetic photographs (APP/studies) and a small model trained on others."""
    from grata_monai.label.demo import write_demo

    write_demo(app, epochs=epochs, size=size, images=images, seed=seed)
    click.echo(f"Start it: grata-monai label start {app} --studies {app / 'studies'}")
