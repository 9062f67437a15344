# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data preview``: sheets of pictures with the outlines of the masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grata_monai.cli.data._inspecting import inspection_options


@click.command()
@inspection_options()
@click.option(
    "--images",
    type=click.IntRange(1, 1000),
    default=24,
    show_default=True,
    help="Images on a sheet, evenly spaced over the list.",
)
@click.option("--all", "every", is_flag=True, help="All images, on several sheets.")
@click.option("--columns", type=click.IntRange(1, 100), default=6, show_default=True)
@click.option(
    "--tile",
    type=click.IntRange(16, 2048),
    default=256,
    show_default=True,
    help="Side of a picture in pixels.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the sheets.  [default: FOLDER_preview, beside FOLDER]",
)
def preview(folder: Path, out: Path | None, **options: Any) -> None:
    """Draw a sheet of pictures per domain of FOLDER: disc green, cup blue, names below.

    Images that cannot be read become grey tiles.
    """
    from grata_monai.preparation.preview import preview_folder

    # Beside the folder and not in it: there, programs that search for images would find it.
    whole = folder.expanduser().resolve()
    target = out or whole.with_name(f"{whole.name}_preview")
    for path in preview_folder(folder, target, **options):
        click.echo(f"Wrote {path}")
