# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Guard: undo an update that went wrong, without labels."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.functional.mask_change import largest_mask_change
from grata_monai.objectives import Entropy, Objective, SupportsHeads, build_objective
from grata_monai.state import StatisticsPolicy
from grata_monai.state.non_finite import count_non_finite

_BINARY_ENTROPY = Entropy(kind="binary")
_logger = logging.getLogger(__name__)


class Guard(Adapter):
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
    now and then (``life_cycle``). It costs two predictions an image and a copy of s.

    By name: ``build_adapter("guard", adapter="tent", max_change=0.1, beta=1e-3)``; what the guard
    has no place for goes to the method. The presets of the paper's tables use no guard.

    Args:
        adapter: The method, any other ``Adapter``. The guard works with a copy of it, so that
            the given one stays unbound.
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
        if not isinstance(adapter, Adapter):
            raise TypeError(
                "The 'adapter' parameter of Guard must be an Adapter, e.g. GraTa(). "
                f"Got {adapter!r}; build_adapter('guard', adapter=...) takes names."
            )
        super().__init__(
            life_cycle=adapter.life_cycle if life_cycle is None else life_cycle,
            predict=adapter.predict,
            seed=adapter.seed if seed is None else seed,
        )
        check_number("Guard", "tolerance", tolerance, minimum=0.0)
        check_number("Guard", "max_change", max_change, minimum=0.0, maximum=1.0)
        self.objective = None
        if objective is not None and objective != "none":
            self.objective = build_objective(objective, owner="Guard", parameter="objective")
        self.adapter = adapter
        self.tolerance = tolerance
        self.max_change = max_change
        self.needs_batch_norm = adapter.needs_batch_norm
        self._method = copy.deepcopy(adapter)

    # -- the decision -----------------------------------------------------------------------

    def _update(self, images: Tensor) -> dict[str, float]:
        kept = self.state_dict()
        self._method.trace_ = {}
        before = self._look(images)
        try:
            with self._lent() as method:
                trace = method._update(images)
            self._method.trace_ = {**trace, "updated": 1.0}
            after = self._look(images)
            change = largest_mask_change(before.logits, after.logits)
            reason = self._objection(kept, before, after, change)
        except BaseException:
            self._undo(kept)
            raise
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
            logits = self._predict(images)
        finally:
            self._generator.set_state(stream)
        if self.objective is None:
            return _View(logits, 0.0)
        shown = _Prediction(self._bound().network, self._predict, images, logits)
        try:
            loss = self.objective(shown, images, torch.Generator().manual_seed(self.seed))
        finally:
            self._generator.set_state(stream)
        return _View(logits, float(loss))

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

    # -- the method under guard -------------------------------------------------------------

    @contextmanager
    def _lent(self) -> Iterator[Adapter]:
        """Lend the method the guard's network, generator and count for a block."""
        self._method._binding = self._bound()
        self._method._generator = self._generator
        self._method.images_seen_ = self.images_seen_
        try:
            yield self._method
        finally:
            self._method._binding = None

    def _check(self, network: nn.Module) -> None:
        self._method._check(network)
        if self.objective is not None:
            self.objective.check(network)

    def _policy(self) -> StatisticsPolicy | None:
        return self._method._policy()

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        return self._method._parameters(network)

    def _start(self) -> None:
        self._method.trace_ = {}
        with self._lent() as method:
            method._start()

    def _predict(self, images: Tensor) -> Tensor:
        with self._lent() as method:
            return method._predict(images)

    def _method_state(self) -> dict[str, Any]:
        with self._lent() as method:
            return {"adapter": type(method).__name__, "method": method._method_state()}

    def _load_method_state(self, state: dict[str, Any]) -> None:
        if state["adapter"] != type(self._method).__name__:
            raise ValueError(f"it is of {state['adapter']}, not {type(self._method).__name__}")
        with self._lent() as method:
            method._load_method_state(state["method"])


class _View(NamedTuple):
    """What a state makes of an image."""

    logits: Tensor
    objective: float


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
