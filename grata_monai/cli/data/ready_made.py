# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data import-fundus``: folders that others have prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grata_monai.cli.data._preparing import run_options, run_prepare


@click.command("import-fundus")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Root folder of the authors' layout; another one than SOURCE.",
)
@click.option("--domain", "domains", multiple=True, help="Only this domain; may be repeated.")
@click.option(
    "--size",
    type=click.IntRange(16, 16384),
    help="Side at which images are stored.  [default: as they are]",
)
@click.option(
    "--partition",
    type=click.Choice(("random", "hospital")),
    default="random",
    show_default=True,
    help="Which partition of RIM-ONE DL.",
)
@run_options()
def import_fundus(
    source: Path,
    out: Path,
    domains: tuple[str, ...],
    size: int | None,
    partition: str,
    **options: Any,
) -> None:
    """Check and copy the ready-made folder or archive SOURCE, all masks with levels 0, 128, 255.

    Recognized are the Fundus folder of the GraTa and VPTTA authors, Zenodo 8009107
    (Processed_Fundus_Images.zip), the DoFE Fundus folder and RIM-ONE DL. Folders in the authors'
    layout can also be used as they are. Masks are read with the thresholds of the loaders that
    belong to the folders: 0 cup and 1..254 rim, in DoFE's up to 50 and up to 200.
    """
    from grata_monai.preparation import RIM_ONE_DL_WARNING, RimOneDl, open_raw, recognize

    if out.resolve() == source.resolve():
        raise click.UsageError("--out must be another folder than SOURCE.")
    with open_raw([source]) as files:
        found = recognize(files, partition=partition)
    chosen = [dataset for dataset in found if not domains or dataset.domain in domains]
    missing = set(domains) - {dataset.domain for dataset in found}
    if missing or not chosen:
        names = ", ".join(dataset.domain for dataset in found) or "none that is known"
        raise click.UsageError(
            f"{source} has no domain {' and no '.join(sorted(missing)) or 'at all'}; found: "
            f"{names}. Raw downloads go through `grata-monai data prepare`."
        )
    codes = []
    for dataset in chosen:
        if isinstance(dataset, RimOneDl):
            click.echo(f"Warning: {RIM_ONE_DL_WARNING}", err=True)
        try:
            run_prepare(dataset, (source,), out, size=size, **options)
        except click.exceptions.Exit as stop:
            if stop.exit_code == 130:
                raise
            codes.append(stop.exit_code)
    if codes:
        raise click.exceptions.Exit(max(codes))
