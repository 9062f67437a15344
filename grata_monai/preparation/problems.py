# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with data, all of it at once: which file, what, and the cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 8  # files named per kind of problem; reports on disk name all


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with one file.

    Args:
        file: The file as the user knows it.
        what: What is wrong, in a few words that are the same for all files with the problem.
        cure: What to do about it, the same for all files with the problem.
        detail: What is particular to this file, as its size.
    """

    file: str
    what: str
    cure: str
    detail: str = ""

    def __str__(self) -> str:
        """Return the problem in one line."""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.file}: {self.what}{detail}. {self.cure}"


class FileError(Exception):
    """Raised by code that looks into one file and does not know its name for the user.

    Args:
        what: As of :class:`Problem`.
        cure: As of :class:`Problem`.
        detail: As of :class:`Problem`.
    """

    def __init__(self, what: str, cure: str, detail: str = "") -> None:
        super().__init__(what, cure, detail)
        self.what = what
        self.cure = cure
        self.detail = detail

    def of(self, file: str) -> Problem:
        """Return the problem of a file."""
        return Problem(file, self.what, self.cure, self.detail)


def describe_problems(problems: Iterable[Problem]) -> str:
    """Return a text that groups the files by what is wrong with them and how to cure it.

    Example:
        >>> print(describe_problems([Problem("a.png", "no mask", "Add it."),
        ...                          Problem("b.png", "no mask", "Add it.")]))
        no mask (2 files). Add it.
          a.png
          b.png
    """
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.what, problem.cure), []).append(problem)
    lines = []
    for (what, cure), members in groups.items():
        count = f"{len(members)} file{'s' * (len(members) > 1)}"
        lines.append(f"{what} ({count}). {cure}")
        for problem in members[:_SHOWN]:
            detail = f" ({problem.detail})" if problem.detail else ""
            lines.append(f"  {problem.file}{detail}")
        if len(members) > _SHOWN:
            lines.append(f"  ... and {len(members) - _SHOWN} more")
    return "\n".join(lines)
