# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entry point of ``grata-monai``: commands are imported only when they are called."""

from __future__ import annotations

from typing import Any

import click

from grata_monai import __version__
from grata_monai._messages import one_line
from grata_monai.cli._lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "adapt": ("grata_monai.cli.adapt:adapt", "Segment images with test-time adaptation."),
    "train": ("grata_monai.cli.train:train", "Train source models, one per domain."),
    "data": ("grata_monai.cli.data:data", "Prepare, inspect and make data sets."),
    "weights": ("grata_monai.cli.weights:weights", "Import and inspect source models."),
    "benchmark": ("grata_monai.cli.benchmark:benchmark", "Compare methods, resumably."),
    "report": ("grata_monai.cli.report:report", "Tables, figures and a page from a benchmark."),
    "label": ("grata_monai.cli.label:label", "Serve a model to annotators: MONAI Label."),
    "demo": ("grata_monai.cli.demo:demo", "The whole story on synthetic images, in minutes."),
}


class MainGroup(LazyGroup):
    """The top group: what a user can cure ends in one line and exit code 1.

    These are wrong values and missing or unreadable files; ``--traceback`` shows where they come
    from.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn errors that a user can cure into one line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ValueError, OSError) as error:
            if ctx.params.get("traceback"):
                raise
            raise click.ClickException(one_line(error)) from error


@click.group(
    cls=MainGroup,
    commands_table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="grata-monai")
@click.option("--traceback", is_flag=True, help="On an error show where it came from.")
def main(traceback: bool) -> None:
    """Test-time adaptation for medical image segmentation."""
