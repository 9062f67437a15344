# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A network that waits for its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from grata_monai.networks import source_network

_DRAWS = {Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_}


def blank_network(*, heads: Sequence[str] = ()) -> nn.Module:
    """Return a source network whose weights are zero until a checkpoint is loaded.

    To draw 22 million random numbers that are overwritten at once takes longer than to read them.
    The global random number generator is left as it is.

    Args:
        heads: Self-supervised heads to attach, as for ``source_network``.
    """
    with _ZerosForDraws():
        return source_network(heads=heads)


class _ZerosForDraws(TorchFunctionMode):
    """Fills tensors with zeros where they would be drawn."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            with torch.no_grad():
                return (args[0] if args else kwargs["tensor"]).zero_()
        return func(*args, **kwargs)
