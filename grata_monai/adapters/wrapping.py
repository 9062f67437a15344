# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""An adapter around another one: what both need to share one network."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.state import StatisticsPolicy


class WrappingAdapter(Adapter):
    """Base of methods that change how another method works; does exactly what that one does.

    The method inside is a copy of the given one. It never binds the network: for the length of each
    call it is lent the outer one's binding, generator and image count.

    Args:
        adapter: The method, any other ``Adapter``; the given object stays unbound.
        life_cycle: When to go back to the source; None for the method's own.
        seed: Seed of all draws; None for the method's own.

    Raises:
        TypeError: If ``adapter`` is none.
    """

    default_method = "source"
    """Name of the method inside where the wrapper is built by name and none is given."""

    def __init__(
        self, *, adapter: Adapter, life_cycle: LifeCycle | None = None, seed: int | None = None
    ) -> None:
        owner = type(self).__name__
        if not isinstance(adapter, Adapter):
            raise TypeError(
                f"The 'adapter' parameter of {owner} must be an Adapter, e.g. GraTa(). "
                f"Got {adapter!r}; build_adapter() takes names."
            )
        super().__init__(
            life_cycle=adapter.life_cycle if life_cycle is None else life_cycle,
            predict=adapter.predict,
            seed=adapter.seed if seed is None else seed,
        )
        self.adapter = adapter
        self.needs_batch_norm = adapter.needs_batch_norm
        self._method = copy.deepcopy(adapter)

    @contextmanager
    def _lent(self) -> Iterator[Adapter]:
        """Lend the method the network, generator and count for a block."""
        self._method._binding = self._bound()
        self._method._generator = self._generator
        self._method.images_seen_ = self.images_seen_
        try:
            yield self._method
        finally:
            self._method._binding = None

    def _check(self, network: nn.Module) -> None:
        self._method._check(network)

    def _policy(self) -> StatisticsPolicy | None:
        return self._method._policy()

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        return self._method._parameters(network)

    def _start(self) -> None:
        self._method.trace_ = {}
        with self._lent() as method:
            method._start()

    def _update(self, images: Tensor) -> dict[str, float]:
        self._method.trace_ = {}
        with self._lent() as method:
            trace = method._update(images)
        self._method.trace_ = {**trace, "updated": 1.0}
        return trace

    def _predict(self, images: Tensor) -> Tensor:
        with self._lent() as method:
            return method._predict(images)

    def _method_state(self) -> dict[str, Any]:
        with self._lent() as method:
            return {"adapter": type(method).__name__, "method": method._method_state()}

    def _load_method_state(self, state: dict[str, Any]) -> None:
        if state["adapter"] != type(self._method).__name__:
            raise ValueError(f"it is of {state['adapter']}, not {type(self._method).__name__}")
        self._method.trace_ = {"updated": 0.0}
        with self._lent() as method:
            method._load_method_state(state["method"])
