# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Memory of what was learned for earlier images, read by how similar they are (VPTTA)."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from grata_monai._checks import check_number


class PromptMemory:
    r"""First in, first out; reading gives a mean of the values of the most similar keys.

    .. math:: \bar v = \sum_{i \in N_K} w_i v_i, \qquad
        w = \mathrm{softmax}_{i \in N_K}(\cos(k, k_i) / \tau)

    Args:
        size: Number of entries kept, at least 1; 40 in VPTTA.
        neighbours: K, from 1 to ``size``; with fewer entries nothing is read. 16 in VPTTA.
        temperature: τ > 0; 0.2 in VPTTA.
    """

    def __init__(self, *, size: int = 40, neighbours: int = 16, temperature: float = 0.2) -> None:
        owner = "PromptMemory"
        check_number(owner, "size", size, minimum=1, integer=True)
        check_number(owner, "neighbours", neighbours, minimum=1, maximum=size, integer=True)
        check_number(owner, "temperature", temperature, minimum=1e-9)
        self.size = size
        self.neighbours = neighbours
        self.temperature = temperature
        self._keys: deque[Tensor] = deque(maxlen=size)
        self._values: deque[Tensor] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._keys)

    def push(self, key: Tensor, value: Tensor) -> None:
        """Keep copies of a key and its value; the oldest pair goes if the memory is full."""
        self._keys.append(key.detach().flatten().clone())
        self._values.append(value.detach().clone())

    def read(self, key: Tensor) -> Tensor | None:
        """Return the weighted mean of the nearest values, or None with too few entries."""
        if len(self) < self.neighbours:
            return None
        similarity = cosine_similarity(torch.stack(list(self._keys)), key.flatten()[None], dim=1)
        nearest = similarity.topk(self.neighbours)
        weights = torch.softmax(nearest.values / self.temperature, dim=0)
        values = torch.stack(list(self._values))[nearest.indices]
        weights = weights.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
        return (weights * values).sum(dim=0)  # a product of matrices might be half precise

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all entries, oldest first."""
        return {
            "keys": [key.clone() for key in self._keys],
            "values": [value.clone() for value in self._values],
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """Take over copies of entries, on a device if one is given."""
        for name, entries in (("keys", self._keys), ("values", self._values)):
            copies = [entry.to(device, copy=True) for entry in state[name]]
            entries.clear()
            entries.extend(copies)
