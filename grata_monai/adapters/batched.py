# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Many episodes at once: every image of a batch is adapted to by itself, in common passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import cast

import torch
from torch import Tensor

from grata_monai._checks import check_number
from grata_monai.adapters.base import Adapter, Infer, Windows
from grata_monai.adapters.episode import Episode
from grata_monai.adapters.gradient import (
    Probe,
    Slope,
    check_gradients,
    check_loss,
    is_stepwise,
)
from grata_monai.adapters.trace import mean_trace
from grata_monai.adapters.wrapping import WrappingAdapter
from grata_monai.functional.gradients import compute_gradients
from grata_monai.networks.separate_samples import can_separate_samples, separate_samples
from grata_monai.objectives.together import losses_together
from grata_monai.state import StatisticsPolicy, replaced
from grata_monai.state.row_statistics import RowStatistics

_WITHOUT_GRADIENT = ("AlphaBN", "BatchNormAdapt", "MedBN", "Source")


class BatchedEpisodes(WrappingAdapter):
    """Adapt to all images of a batch at once, to each as if it came alone.

    Gives what the method with the life cycle ``per_image`` gives for one image after the other, to
    rounding: every image has its own batch statistics, scales and shifts, optimizer, learning rate
    and random numbers (all start from the same seed). Passes through the network are shared, which
    fills a GPU that one image leaves idle; memory grows with the images in a pass. Without this
    class a batch is one episode, with common statistics and parameters.

    An image that is not finite, or whose loss or gradient is not, gets no update and leaves the
    others alone. Prediction by ``infer`` (a sliding window) is image by image.

    Args:
        adapter: ``GraTa``, ``Tent``, another method that writes ``_steps``, or one without
            gradients: ``AlphaBN``, ``BatchNormAdapt``, ``MedBN``, ``Source``. Its own life cycle
            does not matter.
        images_at_once: How many images share a pass, at least 1; larger batches are divided. None:
            one on the CPU, where more gain nothing, the whole batch elsewhere.

    Attributes:
        traces_: What ``trace_`` would be, for each image of the last batch.
        trace_: Means of those numbers over the images that have them.

    Raises:
        TypeError: If the method is none of those.

    Example:
        >>> from torch import nn
        >>> from grata_monai.adapters.tent import Tent
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        >>> with BatchedEpisodes(adapter=Tent()).bound(network) as adapter:
        ...     logits = adapter.adapt(torch.rand(5, 3, 8, 8))
        >>> logits.shape, len(adapter.traces_)
        (torch.Size([5, 2, 8, 8]), 5)
    """

    def __init__(self, *, adapter: Adapter, images_at_once: int | None = None) -> None:
        super().__init__(adapter=adapter, life_cycle="per_image")
        if images_at_once is not None:
            check_number(
                "BatchedEpisodes", "images_at_once", images_at_once, minimum=1, integer=True
            )
        if not (is_stepwise(adapter) or _is_without_gradient(adapter)):
            raise TypeError(
                f"BatchedEpisodes cannot adapt {type(adapter).__name__} to several images at once; "
                f"it can GraTa, Tent, {', '.join(_WITHOUT_GRADIENT)}, and other gradient methods "
                "that write _steps and keep batch statistics. Use the method itself with "
                "life_cycle='per_image', one image per call."
            )
        self.images_at_once = images_at_once
        self.traces_: list[dict[str, float]] = []
        self._episodes: list[Episode] = []

    def adapt(
        self, images: Tensor, infer: Infer | None = None, *, windows: Windows | None = None
    ) -> Tensor:
        """Adapt to each image and return the logits of all; see base class.

        Raises:
            ValueError: If windows are given, besides what the base class raises.
        """
        if windows is not None:
            raise ValueError(
                "BatchedEpisodes adapts to whole images. To adapt to windows use the method itself "
                "with life_cycle='per_image', one image per call."
            )
        return super().adapt(images, infer)

    # -- what is bound ----------------------------------------------------------------------

    def _policy(self) -> StatisticsPolicy | None:
        return RowStatistics() if is_stepwise(self._method) else super()._policy()

    def _start(self) -> None:
        super()._start()
        self._episodes = []

    # -- update -----------------------------------------------------------------------------

    def _update(self, images: Tensor) -> dict[str, float]:
        raise TypeError(
            "BatchedEpisodes has to be the outermost adapter; put the other one inside."
        )

    def _update_if_finite(self, images: Tensor) -> None:
        if is_stepwise(self._method):
            episodes = [
                Episode(self._method, self._bound(), image) for image in torch.split(images, 1)
            ]
            size = self._at_once(images)
            for start in range(0, len(episodes), size):
                self._run(episodes[start : start + size])
            self._episodes = episodes
            self.traces_ = [episode.trace for episode in episodes]
        else:
            finite = torch.isfinite(images).flatten(1).all(dim=1)
            self.traces_ = [{"updated": float(value)} for value in finite]
        self.trace_ = mean_trace(self.traces_)
        self.images_seen_ += int(self.trace_["updated"] > 0)

    def _run(self, episodes: Sequence[Episode]) -> None:
        """Let episodes make their step, whenever possible in common passes."""
        for episode in episodes:
            episode.begin()
        while waiting := [episode for episode in episodes if episode.probe is not None]:
            objective = cast("Probe", waiting[0].probe).objective
            self._answer([e for e in waiting if cast("Probe", e.probe).objective is objective])

    def _answer(self, episodes: Sequence[Episode]) -> None:
        """Answer the probes, all of one objective, of episodes; each goes on to its next one."""
        binding = self._bound()
        objective = cast("Probe", episodes[0].probe).objective
        with self._own_parameters(episodes) as rows:
            losses = losses_together(
                objective,
                binding.network,
                [episode.image for episode in episodes],
                [episode.generator for episode in episodes],
            )
            finite = [loss for loss in losses if bool(torch.isfinite(loss.detach()))]
            total = torch.stack(finite).sum() if finite else torch.zeros(())
            gradients = compute_gradients(total, list(rows.values()))
        for index, (episode, loss) in enumerate(zip(episodes, losses, strict=True)):
            with episode.stopped_if_not_finite():
                check_loss(loss, objective, binding.network)
                own = [gradient[index] for gradient in gradients]
                check_gradients(own, objective)
                episode.advance(Slope(float(loss.detach()), own))

    @contextmanager
    def _own_parameters(self, episodes: Sequence[Episode]) -> Iterator[dict[str, Tensor]]:
        """Give each image of a batch its episode's parameters, as rows with a gradient."""
        binding = self._bound()
        values = [episode.values() for episode in episodes]
        names = binding.parameters
        rows = {n: torch.stack([own[n] for own in values]).requires_grad_() for n in names}
        with cast("RowStatistics", binding.policy).using(binding.parameters, rows):
            yield rows

    # -- prediction -------------------------------------------------------------------------

    def _infer(self, images: Tensor, infer: Infer | None) -> Tensor:
        size = 1 if infer is not None else self._at_once(images)
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            episodes = self._episodes[start : start + size]
            with self._prepared(part, episodes):
                logits = super()._infer(part, infer)
            # Copies: networks replayed by CUDA graphs use the memory of their output again.
            parts.append(logits if len(part) == len(images) else logits.clone())
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @contextmanager
    def _prepared(self, images: Tensor, episodes: Sequence[Episode]) -> Iterator[None]:
        """Make the network ready to predict images after their episodes, if there were any."""
        binding = self._bound()
        if len(images) == 1:
            # Not as rows: ``infer`` may make any batches of the image.
            own = [list(episode.parameters.values()) for episode in episodes]
            parameters = list(binding.parameters.values())
            with replaced(parameters, own[0]) if own else nullcontext():
                yield
            return
        rows = self._own_parameters(episodes) if episodes else nullcontext()
        apart = separate_samples(binding.network) if binding.policy else nullcontext()
        with rows, apart:
            yield

    def _at_once(self, images: Tensor) -> int:
        """Return how many images may share a pass."""
        if self.images_at_once is not None:
            most = self.images_at_once
        else:
            most = 1 if images.device.type == "cpu" else len(images)
        # Without a policy, layers that keep no running statistics mix a batch.
        binding = self._bound()
        apart = binding.policy is not None or can_separate_samples(binding.network)
        return most if apart else 1


def _is_without_gradient(adapter: Adapter) -> bool:
    kind = type(adapter)
    return kind.__name__ in _WITHOUT_GRADIENT and kind.__module__.startswith("grata_monai.")
