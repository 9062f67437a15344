# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Progress bar of a training with the loss of the last step."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine
from ignite.handlers import ProgressBar


class LossProgressBar:
    """Shows one bar per epoch with the loss beside it; in distributed training on one process.

    Args:
        persist: Whether the bars of completed epochs stay on the screen.
    """

    def __init__(self, *, persist: bool = False) -> None:
        self.persist = persist

    def attach(self, engine: Engine) -> None:
        """Register with a MONAI trainer."""
        if idist.get_rank() == 0:
            ProgressBar(persist=self.persist).attach(engine, output_transform=_losses)


def _losses(output: Any) -> dict[str, float]:
    """Return the losses in a trainer's output, decollated or not."""
    item = output[0] if isinstance(output, list) else output
    return {name: float(value) for name, value in item.items() if name.startswith("loss")}
