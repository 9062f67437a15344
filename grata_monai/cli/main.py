# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entry point of ``grata-monai``: commands are imported only when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from grata_monai import __version__

# name: ("module:attribute", one line for --help)
COMMANDS: dict[str, tuple[str, str]] = {
    "adapt": ("grata_monai.cli.adapt:adapt", "Segment images with test-time adaptation."),
    "train": ("grata_monai.cli.train:train", "Train source models, one per domain."),
    "data": ("grata_monai.cli.data:data", "Make and inspect data sets."),
    "weights": ("grata_monai.cli.weights:weights", "Import and inspect source models."),
    "demo": ("grata_monai.cli.demo:demo", "The whole story on synthetic images, in minutes."),
}


class LazyGroup(click.Group):
    """Group that lists its commands from a table and imports one only to run it.

    Errors which a user can cure (a wrong value, a missing or unreadable file) end in one line
    and exit code 1, without a traceback unless ``--traceback`` is given.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name, or None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table instead of the commands' own help, which would need an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn errors that a user can cure into one line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ValueError, OSError) as error:
            if ctx.params.get("traceback"):
                raise
            message = " ".join(str(error).split()) or type(error).__name__
            raise click.ClickException(message) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="grata-monai")
@click.option("--traceback", is_flag=True, help="On an error show where it came from.")
def main(traceback: bool) -> None:
    """Test-time adaptation for medical image segmentation."""
