# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run the bundle's configs in this process."""

from __future__ import annotations

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
        overrides: Values for its keys, as on the command line of ``python -m monai.bundle run``.
            Pass files and folders as paths: MONAI reads '#' in strings as a separator.

    Returns:
        The workflow after its run; its parts are to be had as attributes, e.g. ``evaluator``.

    Raises:
        ValueError: For what a user has to cure, in one line.
    """
    files = [str(bundle_dir() / "configs" / f"{name}.json") for name in (config, *overlays)]
    with _without_log_file_warning():
        workflow = ConfigWorkflow(files, workflow_type=config, logging_file=False, **overrides)
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except SystemExit as error:
        raise ValueError(str(error.code).removeprefix(PREFIX)) from error
    finally:
        release_output()
    return workflow


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
