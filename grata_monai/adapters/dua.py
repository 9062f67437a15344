# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DUA: running statistics that follow the test images with decaying momentum."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from grata_monai._checks import check_flag, check_number
from grata_monai.adapters.base import Adapter, LifeCycle, Predict
from grata_monai.functional import decayed_momentum
from grata_monai.state import MovingAverageStatistics, StatisticsPolicy, require_finite
from grata_monai.transforms import WEAK_VIEWS

_VIEWS = {view.name: view for view in WEAK_VIEWS}
_TURNS = ("identity", "rot90", "rot180", "rot270")


class DUA(Adapter):
    r"""Move the running statistics of every BN layer towards augmented copies of each image.

    For image t, one forward pass of a batch of random views in training mode, no gradient:

    .. math::
        \rho_t = \omega^t m_0 + \delta, \qquad \mu \leftarrow (1 - \rho_t)\mu + \rho_t \mu_t,
        \qquad v \leftarrow (1 - \rho_t) v + \rho_t \tilde v_t

    with the unbiased variance; the clean image is then predicted with the running statistics.
    A view is a crop after zero padding, a horizontal flip with probability 1/2, and a rotation
    by a random multiple of 90 degrees (of 180 where the image is not square).

    Args:
        omega: Decay ω in [0, 1]; 0.94, authors' code.
        delta: Floor δ in [0, 1]; 0.005, authors' code.
        initial_momentum: m_0 in [0, 1]; 0.1, authors' code.
        delta_recursive: Feed δ back, ρ_t = ω ρ_{t-1} + δ, a reading that the paper's notation
            allows. The floor is then δ / (1 - ω) and the source is soon forgotten.
        views: Copies in the batch, at least 1. 8 keeps memory low; published are 64. Splitting
            64 into parts would be another method: deeper layers see each part's statistics.
        padding: Share of the size by which each side is padded before the crop, in [0, 1]; 12.5
            %, 4 pixels of 32 in the authors' code. 0: no crop.
        life_cycle: When to go back to the source (see ``Adapter``).
        predict: ``"after_update"``, or ``"before_update"`` to use each image for later ones only.
        seed: Seed of the views.

    Reference:
        M. J. Mirza et al., "The Norm Must Go On: Dynamic Unsupervised Domain Adaptation by
        Normalization", CVPR 2022, arXiv:2112.00463.

    Differs from the reference code: online, each image is predicted once after its update (there
    the best step is chosen on test labels); 8 views; padding in proportion to the size.
    """

    def __init__(
        self,
        *,
        omega: float = 0.94,
        delta: float = 0.005,
        initial_momentum: float = 0.1,
        delta_recursive: bool = False,
        views: int = 8,
        padding: float = 0.125,
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(life_cycle=life_cycle, predict=predict, seed=seed)
        check_number("DUA", "omega", omega, minimum=0.0, maximum=1.0)
        check_number("DUA", "delta", delta, minimum=0.0, maximum=1.0)
        check_number("DUA", "initial_momentum", initial_momentum, minimum=0.0, maximum=1.0)
        check_flag("DUA", "delta_recursive", delta_recursive)
        check_number("DUA", "views", views, minimum=1, integer=True)
        check_number("DUA", "padding", padding, minimum=0.0, maximum=1.0)
        self.omega = omega
        self.delta = delta
        self.initial_momentum = initial_momentum
        self.delta_recursive = delta_recursive
        self.views = views
        self.padding = padding

    def _policy(self) -> StatisticsPolicy:
        self._statistics = MovingAverageStatistics(momentum=self.initial_momentum)
        return self._statistics

    def _update(self, images: Tensor) -> dict[str, float]:
        momentum = decayed_momentum(
            self.images_seen_ + 1,
            initial=self.initial_momentum,
            omega=self.omega,
            delta=self.delta,
            recursive=self.delta_recursive,
        )
        self._statistics.momentum = momentum
        batch = torch.cat([self._draw_view(images) for _ in range(self.views)])
        with torch.no_grad(), self._statistics.updating():
            self._bound().network(batch)
            values = chain.from_iterable(self._statistics.averages_.values())
            require_finite("statistics of the views", list(values))
        return {"momentum": momentum}

    def _draw_view(self, images: Tensor) -> Tensor:
        sizes = images.shape[2:]
        margins = [round(self.padding * size) for size in sizes]
        starts = [self._draw(2 * margin + 1) for margin in margins]
        flip = self._draw(2) == 1
        turns = _TURNS if sizes[-1] == sizes[-2] else _TURNS[::2]
        turn = turns[self._draw(len(turns))]

        view = F.pad(images, [margin for margin in reversed(margins) for _ in range(2)])
        for dim, (start, size) in enumerate(zip(starts, sizes, strict=True), start=2):
            view = view.narrow(dim, start, size)
        return _VIEWS[turn].apply(_VIEWS["hflip"].apply(view) if flip else view)

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))
