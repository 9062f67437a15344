# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Adapt, then predict: one inferer for evaluators, bundles and annotation servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from torch import Tensor, nn

from grata_monai.adapters import Adapter
from grata_monai.adapters.base import Windows
from grata_monai.execution import Execution

Predictor = Callable[[Tensor], Tensor]

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
            images and a function images -> logits.
        windows: What of the images to adapt to, as ``windows(images)``, which gives parts of them,
            each of which is an update, e.g. ``AdaptationWindows(size=96, count=4)`` with a
            ``SlidingWindowInferer(roi_size=(96, 96, 96))``; default: the images as a whole. The
            images may then be where they have room (on the CPU): windows are moved to the network,
            their logits back to the images.
        execution: How to run the network: precision, compilation; default: as it is.

    Raises:
        TypeError: If ``adapter`` is none, or ``windows`` cannot be called.

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

    def __init__(
        self,
        adapter: Adapter,
        inferer: Inferer | None = None,
        *,
        windows: Windows | None = None,
        execution: Execution | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(adapter, Adapter):
            raise TypeError(
                f"AdaptiveInferer needs an Adapter; got {type(adapter).__name__}. "
                "Use grata_monai.adapters.build_adapter(name) to make one by name."
            )
        if windows is not None and not callable(windows):
            raise TypeError(
                "The 'windows' parameter of AdaptiveInferer must be a function that gives parts of "
                f"images, such as AdaptationWindows(size=96, count=4). Got {windows!r}."
            )
        self.adapter = adapter
        self.inferer = SimpleInferer() if inferer is None else inferer
        self.windows = windows
        self.execution = Execution() if execution is None else execution

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
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        device = next((p.device for p in network.parameters()), plain.device)

        def by_inferer(images: Tensor, predict: Predictor) -> Tensor:
            there = partial(_predict_on, device, predict)
            return self.inferer(images, there, *args, **kwargs)  # type: ignore[no-any-return]

        # One forward pass is what adapters do by themselves; batched ones share it then.
        one_pass = type(self.inferer) is SimpleInferer and plain.device == device
        infer = None if one_pass and not (args or kwargs) else by_inferer
        windows = None if self.windows is None else partial(_moved_to, device, self.windows)
        with self.adapter.lock, _lock_of(network), self.execution.running(network):
            if self.adapter.network is None:
                with self.adapter.bound(network):
                    logits = self.adapter.adapt(plain, infer, windows=windows)
            elif self.adapter.network is network:
                logits = self.adapter.adapt(plain, infer, windows=windows)
            else:
                raise RuntimeError(
                    "The adapter is bound to another network than the one to predict with; give "
                    "each network its own adapter."
                )
        logits = logits.to(plain.dtype)  # under mixed precision they have half of it
        if isinstance(inputs, MetaTensor):
            return MetaTensor(logits).copy_meta_from(inputs)  # type: ignore[no-any-return]
        return logits


def _predict_on(device: torch.device, predict: Predictor, images: Tensor) -> Tensor:
    """Return logits, where the images are, from a network that is somewhere else."""
    if images.device == device:
        return predict(images)
    return predict(images.to(device)).to(images.device)


def _moved_to(device: torch.device, windows: Windows, images: Tensor) -> Iterator[Tensor]:
    """Yield windows of images on a device, one at a time."""
    for window in windows(images):
        yield window.to(device)


def _lock_of(network: nn.Module) -> RLock:
    with _registry_lock:
        return _network_locks.setdefault(network, RLock())
