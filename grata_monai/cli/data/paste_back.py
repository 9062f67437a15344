# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data paste-back``: label maps of regions back into whole photographs."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command("paste-back")
@click.argument("predictions", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--roi", required=True, type=_PATH, help="The roi.csv that prepare wrote.")
@click.option("--out", required=True, type=_PATH, help="Folder for the label maps.")
@click.option(
    "--suffix", default="_seg", show_default=True, help="What follows the name in PREDICTIONS."
)
@click.option("--raw", type=_PATH, help="Folder or archive with the photographs, for overlays.")
def paste_back(predictions: Path, roi: Path, out: Path, suffix: str, raw: Path | None) -> None:
    """Put the label maps in PREDICTIONS (NAME_seg.png) where they belong in the photographs.

    PREDICTIONS is the folder that `grata-monai adapt` writes for a prepared domain. OUT receives
    NAME_seg.png in the size of the photograph, 0 elsewhere.
    """
    from grata_monai.preparation import paste_folder

    written = paste_folder(predictions, roi, out, suffix=suffix, raw=raw)
    click.echo(f"Wrote {written} label maps to {out}")
