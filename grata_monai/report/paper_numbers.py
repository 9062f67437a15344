# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which published number stands beside which of ours."""

from __future__ import annotations

import math

from grata_monai.benchmark.published import (
    CONTINUAL_ROUNDS,
    PUBLISHED_PRESETS,
    domain_letter,
    published,
)
from grata_monai.benchmark.results import AVERAGE
from grata_monai.report.run import Run

_COMPARABLE = "Ours compares only as far as sources, targets, images, size and weights do."
_PAPER = (
    "Paper: the published number of that source domain, and the published average over all five; "
    "one run of the authors, four targets per source, 512 px."
)
_CONTINUAL = (
    "Paper: a later project's table under this protocol (round 1 by source domain, and averages "
    "over the five domains by round), perhaps with other source models."
)


class PaperNumbers:
    """Published Dice for the methods of a run under one protocol.

    The preset ``all-methods`` is compared with Table 1, or the continual table, as far as a method
    of that name runs with its defaults.

    Args:
        run: The run.
        protocol: Whose numbers; only that of the published table has any.
    """

    def __init__(self, run: Run, protocol: str) -> None:
        names = {m.name for m in run.plan.methods}
        preset = run.plan.name
        if preset == "all-methods":
            preset = {"grata": "paper-table1", "vptta": "continual"}.get(protocol, preset)
            names = {m.name for m in run.plan.methods if not m.options}
        self._continual = preset == "continual"
        table = published(preset if PUBLISHED_PRESETS.get(preset) == protocol else "")
        self._numbers = {
            (str(method), str(column)): float(number)
            for column, of_column in table.items()
            for method, number in of_column.items()
            if method in names and math.isfinite(number)
        }

    @property
    def note(self) -> str:
        """What the published numbers are; "" if there are none."""
        if not self._numbers:
            return ""
        return f"{_CONTINUAL if self._continual else _PAPER} {_COMPARABLE}"

    def of(self, method: str, source: str, round_number: int = 1) -> float | None:
        """Return the published number of a source domain, or None if there is none.

        Args:
            method: Name of the method.
            source: Name of a source.
            round_number: Pass over the stream; numbers by source are those of the first.
        """
        letter = domain_letter(source)
        return self._numbers.get((method, letter)) if round_number == 1 else None

    def average(self, method: str, round_number: int = 1) -> float | None:
        """Return the published average over the paper's five source domains, or None.

        Args:
            method: Name of the method.
            round_number: Pass over the stream.
        """
        if self._continual and (method, AVERAGE) in self._numbers:
            rounds = CONTINUAL_ROUNDS.get(method, ())
            return rounds[round_number - 1] if round_number <= len(rounds) else None
        return self._numbers.get((method, AVERAGE)) if round_number == 1 else None
