# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Adapt, then predict: one inferer for evaluators, bundles and annotation servers."""

from __future__ import annotations

from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from torch import Tensor, nn

from grata_monai.adapters import Adapter

_network_locks: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_registry_lock = RLock()


class AdaptiveInferer(Inferer):
    """Adapts the network it is given to the images, then predicts them with another inferer.

    If the adapter is bound to the network (by ``TestTimeAdaptationHandler`` over a whole run, or by
    the caller) the state goes on from call to call. Otherwise each call binds and releases, which
    makes a data set of its own of every call: the network is given back as it was.

    Calls are serialized, per adapter and per network, so that threads which share either never see
    each other's state. Works under ``no_grad`` and ``inference_mode``; the output is detached
    and carries the metadata of the images if they have any.

    Args:
        adapter: The method.
        inferer: How to predict with the adapted network; default: one forward pass. It is given
            images and a function images -> logits. To adapt, the network sees the images whole.

    Raises:
        TypeError: If ``adapter`` is none.

    Example:
        >>> import torch
        >>> from grata_monai.adapters import build_adapter
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        >>> inferer = AdaptiveInferer(build_adapter("tent"))
        >>> with torch.no_grad():
        ...     logits = inferer(torch.rand(1, 3, 8, 8), network)
        >>> logits.shape, logits.requires_grad
        (torch.Size([1, 2, 8, 8]), False)
    """

    def __init__(self, adapter: Adapter, inferer: Inferer | None = None) -> None:
        super().__init__()
        if not isinstance(adapter, Adapter):
            raise TypeError(
                f"AdaptiveInferer needs an Adapter; got {type(adapter).__name__}. "
                "Use grata_monai.adapters.build_adapter(name) to make one by name."
            )
        self.adapter = adapter
        self.inferer = SimpleInferer() if inferer is None else inferer

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Return logits of the images after adapting to them.

        Args:
            inputs: Images BxCx*spatial, or a MONAI MetaTensor of them.
            network: The network; only the object given here is ever adapted.
            args: Passed to the inner inferer.
            kwargs: Passed to the inner inferer.

        Raises:
            RuntimeError: If the adapter is bound to another network.
        """

        def infer(images: Tensor, predict: Any) -> Tensor:
            return self.inferer(images, predict, *args, **kwargs)  # type: ignore[no-any-return]

        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        with self.adapter.lock, _lock_of(network):
            if self.adapter.network is None:
                with self.adapter.bound(network):
                    logits = self.adapter.adapt(plain, infer)
            elif self.adapter.network is network:
                logits = self.adapter.adapt(plain, infer)
            else:
                raise RuntimeError(
                    "The adapter is bound to another network than the one to predict with; give "
                    "each network its own adapter."
                )
        if isinstance(inputs, MetaTensor):
            return MetaTensor(logits).copy_meta_from(inputs)  # type: ignore[no-any-return]
        return logits


def _lock_of(network: nn.Module) -> RLock:
    with _registry_lock:
        return _network_locks.setdefault(network, RLock())
