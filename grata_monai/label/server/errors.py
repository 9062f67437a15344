# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Answer what a client got wrong with HTTP 4xx and one readable sentence."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unicodedata import category

import requests
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelException

from grata_monai._messages import one_line

_logger = logging.getLogger(__name__)
_LONGEST_NAME = 255


@contextmanager
def client_errors(names: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn errors that a client can cure into HTTP 4xx; others stay what they are.

    MONAI's transforms wrap errors of a step in a RuntimeError, whose cause says what is wrong.

    Args:
        names: What to call paths of this machine that messages mention.

    Raises:
        HTTPException: 400 for what is no JSON, 404 for what is not there, 422 for the rest.
    """
    try:
        yield
    except HTTPException:
        raise
    except Exception as error:
        answer = as_client_error(error)
        if answer is None:
            raise
        log_refusal(answer, error)
        for path, name in (names or {}).items():
            answer.detail = answer.detail.replace(path, name)
        raise answer from error


def as_client_error(error: BaseException) -> HTTPException | None:
    """Return the HTTP 4xx for an error that a client can cure, None for others."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, (json.JSONDecodeError, RecursionError)):
        return HTTPException(400, f"The parameters are no JSON: {_one_line(error)}.")
    if isinstance(error, requests.RequestException):
        return HTTPException(401, "The sign-in service refused, or does not answer.")
    if isinstance(error, MONAILabelException):
        return HTTPException(404, str(error.msg))
    if isinstance(error, FileNotFoundError):
        return HTTPException(404, _one_line(error))
    too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
    if too_long or isinstance(error, ValueError):
        return HTTPException(422, _one_line(error))
    return None


def log_refusal(answer: HTTPException, error: BaseException) -> None:
    """Keep in the log where an error that counts as the client's came from."""
    _logger.info("Refused with %d: %s", answer.status_code, answer.detail, exc_info=error)


def plain_name(value: str, what: str) -> str:
    """Return a name that a client sent, if it can be no path.

    Args:
        value: The name.
        what: What it is the name of, for the message.

    Raises:
        HTTPException: 400 if it holds a separator or control character, or is hidden or too long.
    """
    if not is_plain(value):
        raise HTTPException(
            400,
            f"The {what} must be a plain name without slashes, such as those in the list of "
            f"studies. Got {value[:_LONGEST_NAME]!r}.",
        )
    return value


def is_plain(name: str) -> bool:
    """Tell whether a name can be that of a study: no path, not hidden, no control characters."""
    is_short = 0 < len(name) <= _LONGEST_NAME and not name.startswith(".")
    return is_short and not any(one in "/\\" or category(one) == "Cc" for one in name)


def _one_line(error: BaseException) -> str:
    """Return what an error says, without where this server keeps its files."""
    text = one_line(error)
    for folder in (settings.MONAI_LABEL_STUDIES, settings.MONAI_LABEL_APP_DIR):
        text = text.replace(f"{folder}/", "") if folder else text
    return text
