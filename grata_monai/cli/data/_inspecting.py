# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands that inspect data share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

_Command = Callable[..., None]


def inspection_options() -> Callable[[_Command], _Command]:
    """Add the argument FOLDER and the options ``--domain`` and ``--jobs``."""

    def add(command: _Command) -> _Command:
        for option in (
            click.option(
                "--jobs", type=click.IntRange(min=1), help="Processes.  [default: all cores]"
            ),
            click.option(
                "--domain", "domains", multiple=True, help="Only this domain; may be repeated."
            ),
            click.argument("folder", type=click.Path(path_type=Path)),
        ):
            command = option(command)
        return command

    return add
