# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The ways to run a method that are timed, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from grata_monai._checks import check_choice
from grata_monai.execution import Execution, Precision, fast_precision

TEXTBOOK = "textbook"
PRECISION_WORDS = ("exact", "fast", "bf16", "tf32")
OTHER_WORDS = ("given-back", "compile", "checkpoint", "views-at-once", "batch4")
PATH_WORDS: dict[str, str] = {
    TEXTBOOK: "plain implementation, one pass after the other, the system's usual memory",
    "exact": "our default: float32, freed memory kept",
    "fast": "the lowest precision that the device computes fast",
    "bf16": "bfloat16 in any case",
    "tf32": "TF32 on a graphics card",
    "given-back": "freed memory goes back to the system at once",
    "compile": "compiled network",
    "checkpoint": "activations computed again in the backward pass; freed memory given back",
    "views-at-once": "the weak views in one batch",
    "batch4": "so many images at once, each on its own (any number)",
}
_BATCH = re.compile(r"batch([1-9]\d?)")


@dataclass(frozen=True)
class Path:
    """A way to run a method.

    Args:
        name: As it was asked for: words joined by "+", e.g. ``fast+compile``.
        precision: One of ``PRECISION_WORDS``.
        keep: Whether freed memory is kept.
        compile: Whether the network is compiled.
        checkpoint: Whether activations are computed again in the backward pass.
        views_at_once: Whether the weak views run in one batch.
        batch: Images at once.
    """

    name: str
    precision: str = "exact"
    keep: bool = True
    compile: bool = False
    checkpoint: bool = False
    views_at_once: bool = False
    batch: int = 1

    @property
    def is_textbook(self) -> bool:
        """Whether it is the plain implementation."""
        return self.name == TEXTBOOK

    def precision_on(self, device: torch.device) -> Precision:
        """Return the precision on a device."""
        if self.precision == "fast":
            return fast_precision(device)
        chosen: dict[str, Precision] = {"exact": "fp32", "bf16": "bf16", "tf32": "tf32"}
        return chosen[self.precision]

    def execution_on(self, device: torch.device) -> Execution:
        """Return how the network is run on a device."""
        return Execution(
            precision=self.precision_on(device), compile=self.compile, checkpoint=self.checkpoint
        )


def parse_path(name: str) -> Path:
    """Return the path of a name.

    Args:
        name: Words of ``PATH_WORDS`` joined by "+", in any order; ``textbook`` stands alone.

    Raises:
        ValueError: If a word is unknown, or words do not go together.

    Example:
        >>> parse_path("fast+compile").compile
        True
    """
    if name == TEXTBOOK:
        return Path(TEXTBOOK, keep=False)
    words = name.split("+")
    batches = [int(found.group(1)) for word in words if (found := _BATCH.fullmatch(word))]
    for word in words:
        if not _BATCH.fullmatch(word):
            check_choice("speed", "path", word, PATH_WORDS)
    precisions = [word for word in words if word in PRECISION_WORDS]
    if TEXTBOOK in words or len(precisions) > 1 or len(batches) > 1 or len(set(words)) < len(words):
        raise ValueError(
            f"The path {name!r} does not say one thing: it may have one precision "
            f"({', '.join(PRECISION_WORDS)}), one batch size and every other word once; "
            f"{TEXTBOOK!r} stands alone."
        )
    path = Path(
        name,
        precision=precisions[0] if precisions else "exact",
        keep=not {"given-back", "checkpoint"} & set(words),
        compile="compile" in words,
        checkpoint="checkpoint" in words,
        views_at_once="views-at-once" in words,
        batch=batches[0] if batches else 1,
    )
    path.execution_on(torch.device("cpu"))  # says what of it does not go together
    return path
