# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What an inspection finds: problems with their weight and the domain that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from grata_monai.preparation.problems import Problem

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that an inspection has found.

    Args:
        severity: "error" for what gives wrong results or stops a reader, "warning" for what a
            person should look at.
        domain: Name of the domain.
        problem: File, what is wrong, and the cure.
    """

    severity: Severity
    domain: str
    problem: Problem

    def to_json(self) -> dict[str, str]:
        """Return the finding as a JSON object."""
        return {
            "severity": self.severity,
            "domain": self.domain,
            "file": self.problem.file,
            "what": self.problem.what,
            "detail": self.problem.detail,
            "cure": self.problem.cure,
        }
