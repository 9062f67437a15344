# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""(in the making)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

OnFault = Literal["predict", "skip"]
FaultKind = Literal["not_finite", "channels", "too_small", "constant", "foreign"]


@dataclass(frozen=True)
class Fault:
    kind: FaultKind
    message: str
    predictable: bool


class StreamGuard:
    def __init__(self, *, on_fault: OnFault = "predict") -> None:
        self.on_fault = on_fault

    def inspect(self, images: Tensor, network: nn.Module) -> Fault | None:
        if not bool(torch.isfinite(images).all()):
            return Fault("not_finite", "the image holds NaN", False)
        if float(images.max() - images.min()) < 1e-3:
            return Fault("constant", "the image is constant", True)
        return None
