# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Guard: undo an update that went wrong, without labels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.adapters.wrapping import WrappingAdapter
from grata_monai.functional.mask_change import largest_mask_change
from grata_monai.objectives import Entropy, Objective, SupportsHeads, build_objective
from grata_monai.state.non_finite import count_non_finite

_BINARY_ENTROPY = Entropy(kind="binary")
_logger = logging.getLogger(__name__)


class Guard(WrappingAdapter):
    r"""Let another method adapt, and take back every update that makes things visibly worse.

    For each image x, with s all that the method has learned so far (parameters, optimizer,
    memories, statistics), s' the same after its update, and z, z' its logits for x in s and s',

    .. math::
        \Delta = L(z') - L(z), \qquad
        \delta = \max_{n,c} \left( 1 - \frac{2 |M_{nc} \cap M'_{nc}|}{|M_{nc}| + |M'_{nc}|}
        \right), \qquad M = \{z > 0\}, \; M' = \{z' > 0\}

    the update is kept if (a) nothing in s' or z' became NaN or infinite, (b) Δ is at most
    ``tolerance`` and (c) δ at most ``max_change``. Otherwise the method goes on from s, bit for
    bit, as if it had never seen x, and x is predicted from s. Two empty masks do not differ.

    No labels are seen, so the guard cannot tell a good update from a bad one; it only bounds what
    a single image can do. Many small steps in a wrong direction pass it: go back to the source
    now and then (``life_cycle``). It costs one prediction more and a copy of s for each image.

    By name: ``build_adapter("guard", adapter="tent", max_change=0.1, beta=1e-3)``; what the guard
    has no place for goes to the method. The presets of the paper's tables use no guard.

    Args:
        adapter: The method, any other ``Adapter``; the given object stays unbound.
        objective: L, an ``Objective`` or its name, of the method's prediction and without
            gradients; None or ``"none"`` for no test (b). The default is the full binary entropy;
            the paper's one-sided one would also fall where pixels get less certain that they are
            background (p from 0.37 to 0.5), which is how masks are flooded.
        tolerance: Largest rise of L, >= 0. 0.05 (our choice) is in nats summed over channels; two
            undecided ones have 1.39, and an image of fundus about 0.25, which a step of GraTa
            with a hundred times the paper's learning rate raises by 0.001.
        max_change: Largest δ, in [0, 1]. 0.2 (our choice): about as much as the cups of two
            experts may differ on one image, while the step named above changes 0.005. 1 for no
            test (c).
        life_cycle: When to go back to the source; None for the method's own.
        seed: Seed of all draws; None for the method's own.

    Attributes:
        trace_: The method's numbers and ``objective_before``, ``objective_after`` (with an
            objective), ``change`` (δ) and ``accepted``, which is 0.0 if the update was taken
            back; ``updated`` is then 0.0, too.

    Raises:
        TypeError: If ``adapter`` is none.
        ValueError: If another argument is out of range.

    Reference:
        None; a safety measure of this package, off unless asked for.
    """

    default_method = "grata"

    def __init__(
        self,
        *,
        adapter: Adapter,
        objective: Objective | str | None = _BINARY_ENTROPY,
        tolerance: float = 0.05,
        max_change: float = 0.2,
        life_cycle: LifeCycle | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(adapter=adapter, life_cycle=life_cycle, seed=seed)
        check_number("Guard", "tolerance", tolerance, minimum=0.0)
        check_number("Guard", "max_change", max_change, minimum=0.0, maximum=1.0)
        self.objective = None
        if objective is not None and objective != "none":
            self.objective = build_objective(objective, owner="Guard", parameter="objective")
        self.tolerance = tolerance
        self.max_change = max_change

    def _start(self) -> None:
        super()._start()
        self._latest: tuple[Tensor, _View] | None = None

    # -- the decision -----------------------------------------------------------------------

    def _update(self, images: Tensor) -> dict[str, float]:
        kept = self.state_dict()
        self._method.trace_ = {}
        policy = self._bound().policy
        if policy is not None:  # constants of the image before are no state, and not this one's
            policy.load_state_dict(kept["policy"])
        before = self._look(images)
        try:
            trace = super()._update(images)
            after = self._look(images)
            change = largest_mask_change(before.logits, after.logits)
            reason = self._objection(kept, before, after, change)
        except BaseException:
            self._undo(kept)
            raise
        shown = before if reason else after
        self._latest = (images, shown)
        if reason:
            self._undo(kept)
            _logger.warning(
                "Guard took an update of %s back: %s", type(self._method).__name__, reason
            )
        judged = {"change": change, "accepted": float(not reason)}
        if self.objective is not None:
            judged |= {"objective_before": before.objective, "objective_after": after.objective}
        return trace | judged

    def _objection(self, kept: dict[str, Any], before: _View, after: _View, change: float) -> str:
        """Return why an update is not to be kept, or an empty string."""
        if not bool(torch.isfinite(after.logits).all()):
            return "the logits are not finite"
        if count_non_finite(self.state_dict()) > count_non_finite(kept):
            return "a parameter or a value of the method's state is not finite"
        rise = after.objective - before.objective
        if not rise <= self.tolerance:  # so that NaN is an objection
            return f"the objective rose by {rise:g}, more than {self.tolerance:g}"
        if not change <= self.max_change:
            return f"a mask changed by {change:g}, more than {self.max_change:g}"
        return ""

    @torch.no_grad()
    def _look(self, images: Tensor) -> _View:
        """Return prediction and objective as they are now; neither moves the generator."""
        stream = self._generator.get_state()
        try:
            logits = super()._predict(images)
            end = self._generator.get_state()
        finally:
            self._generator.set_state(stream)
        if self.objective is None:
            return _View(logits, 0.0, end)
        shown = _Prediction(self._bound().network, self._predict, images, logits)
        try:
            loss = self.objective(shown, images, torch.Generator().manual_seed(self.seed))
        finally:
            self._generator.set_state(stream)
        return _View(logits, float(loss), end)

    def _predict(self, images: Tensor) -> Tensor:
        latest, self._latest = self._latest, None
        if latest is None or latest[0] is not images:
            return super()._predict(images)
        view = latest[1]  # what was judged, with the random numbers that it took
        self._generator.set_state(view.stream)
        return view.logits

    def _undo(self, kept: dict[str, Any]) -> None:
        self._take_over(kept)
        self._method.trace_ = {"updated": 0.0}

    def _update_if_finite(self, images: Tensor) -> None:
        seen = self.images_seen_
        super()._update_if_finite(images)
        self.trace_.setdefault("accepted", self.trace_["updated"])
        if not self.trace_["accepted"]:
            self.images_seen_ = seen
            self.trace_["updated"] = 0.0

    def _check(self, network: nn.Module) -> None:
        super()._check(network)
        if self.objective is not None:
            self.objective.check(network)


class _View(NamedTuple):
    """What a state makes of an image."""

    logits: Tensor
    objective: float
    stream: Tensor
    """State of the generator after the prediction."""


class _Prediction(nn.Module):
    """A method's prediction as the network that an objective asks; knows one answer already."""

    def __init__(
        self,
        network: nn.Module,
        predict: Callable[[Tensor], Tensor],
        images: Tensor,
        logits: Tensor,
    ) -> None:
        super().__init__()
        self._network = [network]  # in a list, so as not to become a part
        self._predict = predict
        self._known = (images, logits)

    def forward(self, images: Tensor) -> Tensor:
        known, logits = self._known
        return logits if images is known else self._predict(images)

    def head(self, name: str, images: Tensor) -> Tensor:
        """Return the raw output of the bound network's head."""
        return cast("SupportsHeads", self._network[0]).head(name, images)
