# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Messages for people, whatever the names of files hold."""

from __future__ import annotations


def one_line(message: object) -> str:
    r"""Return a message in one line.

    Characters that a terminal would act on, and bytes of a name that are not UTF-8, become escapes.

    Args:
        message: A text, or an exception; one without a text gives its kind.

    Example:
        >>> one_line("no\x1b[2Jmask\nfor \udce9.png")
        'no\\x1b[2Jmask for \\udce9.png'
    """
    text = " ".join(str(message).split())
    if not text and isinstance(message, BaseException):
        return type(message).__name__
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
