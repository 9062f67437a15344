# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run the bundle's configs in this process."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from monai.bundle import ConfigWorkflow

from grata_monai.bundle.guard import PREFIX, exits_on_user_error
from grata_monai.bundle.location import bundle_dir
from grata_monai.bundle.output import release_output


def run_workflow(
    config: Literal["inference", "train"], *, overlays: Sequence[str] = (), **overrides: Any
) -> ConfigWorkflow:
    """Initialize, run and finalize a config of the bundle.

    Args:
        config: Which of the bundle's configs.
        overlays: Names of further configs whose keys replace those of the first, e.g. ``"fast"``.
        overrides: Values for its keys. Unlike on the command line of ``python -m monai.bundle run``
            text is never evaluated, whatever it begins with.

    Returns:
        The workflow after its run; its parts are to be had as attributes, e.g. ``evaluator``.

    Raises:
        ValueError: For what a user has to cure, in one line.
    """
    files = [str(bundle_dir() / "configs" / f"{name}.json") for name in (config, *overlays)]
    literals = {name: as_literal(value) for name, value in overrides.items()}
    with _without_log_file_warning():
        workflow = ConfigWorkflow(files, workflow_type=config, logging_file=False, **literals)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except SystemExit as error:
        raise ValueError(str(error.code).removeprefix(PREFIX)) from error
    finally:
        release_output()
    return workflow


def as_literal(value: Any) -> Any:
    """Return what to put into a config of MONAI so that exactly ``value`` comes out of it.

    MONAI evaluates text that begins with ``$``, looks up what begins with ``@`` or ``%``, reads
    ``#`` as a separator and builds objects of dictionaries with ``_target_``. Values come from data
    too, such as the names of domains; they must stay values.

    Raises:
        ValueError: If it is a container of anything but text, finite numbers, flags and None.
    """
    if not isinstance(value, (str, list, tuple, dict)):
        return value
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError) as error:
        raise ValueError(
            f"Settings must be text, finite numbers, true, false or null. Got {text}."
        ) from error
    for character in "@#%":  # stand only inside text here, where an escape means the same
        text = text.replace(character, f"\\x{ord(character):02x}")
    return f"${text}"


@exits_on_user_error
def run_engine(engine: Any) -> None:
    """Run an evaluator; a file that turns out to be unusable only now ends it in one line.

    Args:
        engine: MONAI evaluator.
    """
    engine.run()


@contextmanager
def _without_log_file_warning() -> Iterator[None]:
    """Keep MONAI from warning that the log configuration was turned off, which is on purpose."""
    logger = logging.getLogger("monai.bundle.workflows")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
