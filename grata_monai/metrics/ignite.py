# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The package's metrics as ignite handlers, as MONAI's engines take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.handlers import IgniteMetricHandler

from grata_monai.metrics.cup_disc_ratio import VerticalCupDiscRatio


class VerticalCupDiscRatioHandler(IgniteMetricHandler):
    """Mean absolute error of the vertical cup-to-disc ratio over a run of an engine.

    Args:
        reduction: See ``VerticalCupDiscRatio``.
        output_transform: Takes ``engine.state.output`` to the pair (prediction, label), e.g.
            ``monai.handlers.from_engine(["pred", "label"])``.
        save_details: Keep the error of every image in ``engine.state.metric_details``.
    """

    def __init__(
        self,
        *,
        reduction: str = "mean",
        output_transform: Callable[[Any], Any] = lambda output: output,
        save_details: bool = True,
    ) -> None:
        super().__init__(
            metric_fn=VerticalCupDiscRatio(reduction=reduction),
            output_transform=output_transform,
            save_details=save_details,
        )
