# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One image's adaptation, as something that can be stopped at each probe and taken up again."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from grata_monai.adapters.base import Adapter
from grata_monai.adapters.binding import Binding
from grata_monai.adapters.gradient import GradientAdapter, Probe, Slope, advance
from grata_monai.state import NonFiniteUpdateError, require_finite

_logger = logging.getLogger(__name__)


class Episode:
    """One image, the method's state for it, and where its update stands.

    Args:
        method: The method, of which this makes a copy with parameters of its own.
        binding: The network in its source state.
        image: 1xCx*spatial.
    """

    def __init__(self, method: Adapter, binding: Binding, image: Tensor) -> None:
        own = copy.copy(binding)
        own.parameters = {
            name: nn.Parameter(parameter.detach().clone(), requires_grad=False)
            for name, parameter in binding.parameters.items()
        }
        # With the same objectives: a copy of one may draw differently.
        fresh = type(method)(**method.get_params())
        self._method = cast("GradientAdapter", fresh)
        self._method._binding = own
        self.generator = torch.Generator().manual_seed(method.seed)
        self._method._start()
        self._steps = self._method._steps()
        self.image = image
        self.parameters = own.parameters
        self.probe: Probe | None = None
        self.trace: dict[str, float] = {}

    def begin(self) -> None:
        """Go up to the first probe."""
        with self.stopped_if_not_finite():
            require_finite("image", [self.image])
            self.advance(None)

    def advance(self, slope: Slope | None) -> None:
        """Go on with the answer to the last probe."""
        result = advance(self._steps, slope)
        if isinstance(result, Probe):
            self.probe = result
        else:
            self.probe = None
            self.trace = {**result, "updated": 1.0}

    @contextmanager
    def stopped_if_not_finite(self) -> Iterator[None]:
        """End the episode, without an update, if something in the block is not finite."""
        try:
            yield
        except NonFiniteUpdateError as error:
            self.probe = None
            self.trace = {"updated": 0.0}
            _logger.warning("%s made no update: %s", type(self._method).__name__, error)

    def values(self) -> dict[str, Tensor]:
        """Return the parameters where the probe asks for them, or as they are."""
        values = {name: parameter.detach() for name, parameter in self.parameters.items()}
        if self.probe is None or self.probe.shift is None:
            return values
        return {n: v - s for (n, v), s in zip(values.items(), self.probe.shift, strict=True)}
