# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder that a training works in: its log, and where to look when it fails."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG = "training.log"


@contextmanager
def work_folder(folder: Path) -> Iterator[None]:
    """Log into a new or empty folder; say where it is if what is done in it fails.

    Raises:
        ValueError: If the folder has files already, or for what a user can cure.
        RuntimeError: For everything else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"The folder {folder} of a fine-tuning must be new or empty.")
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception as error:  # whatever it was: its files and its log tell why
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        kind = ValueError if isinstance(error, (ValueError, OSError)) else RuntimeError
        raise kind(f"{_innermost(error)} (Files and log are kept in {folder}.)") from error
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _innermost(error: BaseException) -> BaseException:
    """Return what was wrong in the first place; MONAI wraps errors of its parts."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
