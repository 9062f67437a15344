# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Mean scores of a run, by structure, as a small table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# name of the metric in the configs: (title, factor)
METRICS = {
    "val_mean_dice": ("Dice [points]", 100.0),
    "val_assd": ("ASSD [pixels]", 1.0),
    "val_vcdr_error": ("vCDR error", 1.0),
}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """Means of one metric over images.

    Args:
        metric: Name of the metric in the config.
        title: Name and unit for people.
        values: Mean per structure (disc, cup), or the one value of both.
        images: How many images were scored.
        undefined: In how many of them the value of a structure is NaN or infinite (an empty mask
            has no surface); they do not count in the means.
    """

    metric: str
    title: str
    values: tuple[float, ...]
    images: int
    undefined: int

    @property
    def mean(self) -> float:
        """Mean over the structures."""
        return sum(self.values) / len(self.values)


def summarize(evaluator: Any) -> list[Score]:
    """Return the mean scores of an engine's last run; none if it had no masks to compare with.

    Args:
        evaluator: MONAI engine with metrics named as in the bundle's configs.
    """
    details = getattr(evaluator.state, "metric_details", None) or {}
    return [
        _score(name, details[name]) for name in METRICS if isinstance(details.get(name), Tensor)
    ]


def summary_table(scores: list[Score]) -> str:
    """Return the scores as lines of text."""
    lines = [f"{'':14}{'disc':>9}{'cup':>9}{'mean':>9}{'images':>8}"]
    for score in scores:
        cells = [
            f"{value:9.4g}" if score.metric != "val_mean_dice" else f"{value:9.2f}"
            for value in (*score.values, score.mean)
        ]
        row = "".join(cells) if len(score.values) == 2 else f"{'':18}{cells[-1]}"
        note = f"  ({score.undefined} undefined)" if score.undefined else ""
        lines.append(f"{score.title:14}{row}{score.images:8d}{note}")
    return "\n".join(lines)


def log_summary(evaluator: Any) -> None:
    """Log the table of mean scores, if there are any.

    Args:
        evaluator: As for ``summarize``.
    """
    scores = summarize(evaluator)
    if scores:
        _logger.info("Mean scores\n%s", summary_table(scores))


def _score(name: str, values: Tensor) -> Score:
    title, factor = METRICS[name]
    table = torch.as_tensor(values).detach().cpu().double().reshape(len(values), -1) * factor
    finite = torch.isfinite(table)
    means = torch.where(finite, table, 0.0).sum(dim=0) / finite.sum(dim=0)
    undefined = int((~finite).any(dim=1).sum())
    return Score(name, title, tuple(float(mean) for mean in means), len(table), undefined)
