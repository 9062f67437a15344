# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that prepare, inspect and make data: ``grata-monai data ...``."""

from __future__ import annotations

import click

from grata_monai.cli._lazy import LazyGroup

_HERE = "grata_monai.cli.data"

COMMANDS: dict[str, tuple[str, str]] = {
    "prepare": (f"{_HERE}.prepare:prepare", "Raw downloads to the benchmark's folder."),
    "import-fundus": (f"{_HERE}.ready_made:import_fundus", "Ready-made folders to the same."),
    "locate": (f"{_HERE}.locate:locate", "Find the optic disc without a mask."),
    "paste-back": (f"{_HERE}.paste_back:paste_back", "Label maps of regions to whole photographs."),
    "verify": (f"{_HERE}.verify:verify", "Check a prepared folder."),
    "verify-against": (f"{_HERE}.compare:verify_against", "Compare two prepared folders."),
    "summary": (f"{_HERE}.summary:summary", "Counts, sizes and colors per domain."),
    "colors": (f"{_HERE}.colors:colors", "Colors of a source, for statistics_choice."),
    "preview": (f"{_HERE}.preview:preview", "A sheet of pictures per domain."),
    "datalist": (f"{_HERE}.datalist:datalist", "Lists for MONAI, MONAI Label and Auto3DSeg."),
    "synthesize": (f"{_HERE}.synthesize:synthesize", "Paint synthetic fundus domains."),
}


@click.group(cls=LazyGroup, commands_table=COMMANDS)
def data() -> None:
    """Prepare, inspect and make fundus data."""
