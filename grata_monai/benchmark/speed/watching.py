# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which functions make up which stage of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from grata_monai.adapters import Adapter
from grata_monai.benchmark.speed.runners import Runner
from grata_monai.benchmark.speed.stages import REST, StageClock
from grata_monai.objectives.consistency import Consistency
from grata_monai.objectives.entropy import Entropy
from grata_monai.transforms.random_view import DrawnView
from grata_monai.transforms.style import StrongView

_PACKAGE = (
    (Entropy, "__call__", "entropy"),
    (Consistency, "__call__", "strong view"),  # what is left without the next two
    (Consistency, "teacher", "weak views"),
    (StrongView, "__call__", "augmentation"),
    (DrawnView, "apply", "augmentation"),
)
_TEXTBOOK = (
    ("_consistency", "strong view"),
    ("strong_view", "augmentation"),
    ("draw_view", "augmentation"),
)
"""By the names that textbooks give such parts; what they have not is not seen."""


@contextmanager
def watched(clock: StageClock, runner: Runner, *, passes: bool) -> Iterator[None]:
    """Let a clock see the stages of a runner's steps during a block.

    Args:
        clock: The clock.
        runner: Whose steps.
        passes: Whether to see single passes of the network, too; not possible if it is compiled.
    """
    textbook = not isinstance(runner.method, Adapter)
    aligned = textbook and hasattr(runner.method, "_consistency")

    def of_pass(*_: Any, **__: Any) -> str:
        learning = torch.is_grad_enabled()
        if clock.innermost != REST:
            return "weak views" if aligned and not learning else clock.innermost
        if aligned:
            return "entropy" if learning else "prediction"
        return "forward" if learning else "forward without gradient"

    with ExitStack() as stack:
        for name in ("grad", "backward"):
            stack.enter_context(clock.watching(torch.autograd, name, "backward"))
        for network in _networks(runner) if passes else ():
            stack.enter_context(clock.watching(network, "forward", of_pass))
        if textbook:
            for name, stage in _TEXTBOOK:
                if hasattr(runner.method, name):
                    stack.enter_context(clock.watching(runner.method, name, stage))
        else:
            for owner, name, stage in _PACKAGE:
                stack.enter_context(clock.watching(owner, name, stage))
            stack.enter_context(clock.watching(runner.method, "_infer", "prediction"))
        yield


def _networks(runner: Runner) -> list[nn.Module]:
    """Return a runner's network, and those that a textbook has beside it, e.g. a teacher."""
    others = vars(runner.method).values() if not isinstance(runner.method, Adapter) else ()
    found = {id(part): part for part in (runner.network, *others) if isinstance(part, nn.Module)}
    return list(found.values())
