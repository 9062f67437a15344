# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that run and read benchmarks: ``grata-monai benchmark ...``."""

from __future__ import annotations

import click

from grata_monai.cli._lazy import LazyGroup

_HERE = "grata_monai.cli.benchmark"

COMMANDS: dict[str, tuple[str, str]] = {
    "list": (f"{_HERE}.listing:list_", "The presets."),
    "plan": (f"{_HERE}.planning:plan", "What would run, and roughly for how long."),
    "run": (f"{_HERE}.running:run", "Run a preset or a grid; resumes what was stopped."),
    "status": (f"{_HERE}.reading:status", "How far a run is."),
    "summary": (f"{_HERE}.reading:summary", "Scores, tests and failures of a run as text."),
    "speed": (f"{_HERE}.speed:speed", "Time methods here, beside their textbook form."),
}


@click.group(cls=LazyGroup, commands_table=COMMANDS)
def benchmark() -> None:
    """Compare methods on every pair of source and target."""
