# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Adapt, then predict: one inferer for evaluators, bundles and annotation servers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from torch import Tensor, nn

from grata_monai.adapters import Adapter
from grata_monai.adapters.base import Infer, Windows
from grata_monai.execution import Execution, uncompiled
from grata_monai.inferers.collapse_alarm import CollapseAlarm
from grata_monai.inferers.stream_guard import Fault, StreamGuard

Predictor = Callable[[Tensor], Tensor]
FAULT_KEY = "fault"
"""Key in an image's metadata: what ``inspect`` found, "" for nothing; it is not inspected again."""

_logger = logging.getLogger(__name__)
_network_locks: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_registry_lock = RLock()


class RefusedImageError(ValueError):
    """An image that is neither adapted to nor predicted; the message says why."""


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
        guard: What inspects images before they are adapted to. Those with a fault are predicted
            without an update or refused, as it says, and what was learned stays bit for bit as if
            they had never come. Default: none.
        alarm: What looks at predictions. Where it finds one collapsed that the source does not, the
            adapter goes back to the source, which then predicts the image. Default: none.

    Attributes:
        event_: What was out of the ordinary about the last images, in words, or "".

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
        guard: StreamGuard | None = None,
        alarm: CollapseAlarm | None = None,
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
        self.guard = guard
        self.alarm = alarm
        self.event_ = ""

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Return logits of the images after adapting to them.

        Args:
            inputs: Images BxCx*spatial, or a MONAI MetaTensor of them.
            network: The network; only the object given here is ever adapted.
            args: Passed to the inner inferer.
            kwargs: Passed to the inner inferer.

        Raises:
            RefusedImageError: If the guard does not let the images pass.
            RuntimeError: If the adapter is bound to another network.
        """
        plain, known = _without_metadata(inputs)
        device = next((p.device for p in network.parameters()), plain.device)

        def by_inferer(images: Tensor, predict: Predictor) -> Tensor:
            there = partial(_predict_on, device, predict)
            return self.inferer(images, there, *args, **kwargs)  # type: ignore[no-any-return]

        # One forward pass is what adapters do by themselves; batched ones share it then.
        one_pass = type(self.inferer) is SimpleInferer and plain.device == device
        infer = None if one_pass and not (args or kwargs) else by_inferer
        windows: Windows | None = None
        if self.windows is not None:
            windows = partial(_moved_to, device, self.windows)
        with self._in_hand(network):
            if known is None:
                known = self._known_fault(self._inspect(plain.to(device), whole=windows is None))
            if not known and windows is not None and self.guard is not None:
                windows, fault = self._sound(windows(plain))
                known = self._known_fault(fault)
            logits = self._segment(plain, infer, windows, fault=known)
        logits = logits.to(plain.dtype)  # under mixed precision they have half of it
        if isinstance(inputs, MetaTensor):
            return MetaTensor(logits).copy_meta_from(inputs)  # type: ignore[no-any-return]
        return logits

    def inspect(self, inputs: Tensor, network: nn.Module) -> tuple[str, bool]:
        """Return what the guard has against images, and whether it refuses them for it.

        For those who want to know before the call, such as data loaders: written into the images'
        metadata as ``FAULT_KEY``, it is not asked again.

        Args:
            inputs: As for the call, where the network is.
            network: As for the call.
        """
        plain, _ = _without_metadata(inputs)
        with self._in_hand(network):
            fault = self._inspect(plain, whole=self.windows is None)
        return ("", False) if fault is None else (fault.message, self._refuses(fault))

    # -- inside ------------------------------------------------------------------------------

    @contextmanager
    def _in_hand(self, network: nn.Module) -> Iterator[None]:
        """Hold the locks, run the network as asked for, bind it if it is not bound."""
        with (
            self.adapter.lock,
            _lock_of(network),
            self.execution.running(network),
            self._bound_to(network),
        ):
            yield

    def _bound_to(self, network: nn.Module) -> AbstractContextManager[object]:
        if self.adapter.network is None:
            return self.adapter.bound(network)
        if self.adapter.network is network:
            return nullcontext()
        raise RuntimeError(
            "The adapter is bound to another network than the one to predict with; give each "
            "network its own adapter."
        )

    def _inspect(self, images: Tensor, *, whole: bool = True) -> Fault | None:
        """Return what the guard has against images, or parts of which only windows are seen."""
        network = self.adapter.network
        if self.guard is None or network is None:
            return None
        if not whole:
            return self.guard.inspect_values(images, network)
        with self.adapter.as_source(), uncompiled(network):
            return self.guard.inspect(images, network)

    def _known_fault(self, fault: Fault | None) -> str:
        """Return a fault in words.

        Raises:
            RefusedImageError: If images with it are refused.
        """
        if fault is not None and self._refuses(fault):
            raise RefusedImageError(fault.message)
        return "" if fault is None else fault.message

    def _refuses(self, fault: Fault) -> bool:
        return not fault.predictable or (self.guard is not None and self.guard.on_fault == "skip")

    def _segment(
        self, images: Tensor, infer: Infer | None, windows: Windows | None, *, fault: str
    ) -> Tensor:
        """Adapt to images without a fault, and predict."""
        if fault:
            try:
                logits = self.adapter.predict_only(images, infer)
            except ValueError as error:  # the network takes no images of this size
                raise RefusedImageError(
                    f"{fault} It cannot be predicted either: {error}"
                ) from error
            self.event_ = f"no update: {fault}"
            return logits
        self.event_ = ""
        logits = self.adapter.adapt(images, infer, windows=windows)
        reason = "" if self.alarm is None else self.alarm.reason(logits)
        return self._after_alarm(images, infer, logits, reason) if reason else logits

    def _sound(self, windows: Iterable[Tensor]) -> tuple[Windows, Fault | None]:
        """Return the windows that the guard lets pass; if none, what it has against the first."""
        found = [(window, self._inspect(window)) for window in windows]
        sound = [window for window, fault in found if fault is None]
        return (lambda _: iter(sound)), (found[0][1] if found and not sound else None)

    def _after_alarm(
        self, images: Tensor, infer: Infer | None, logits: Tensor, reason: str
    ) -> Tensor:
        """Go back to the source, unless the source sees the images no better."""
        adapter = self.adapter
        learned, trace = adapter.state_dict(), adapter.trace_
        try:
            adapter.reset()
            by_source = adapter.predict_only(images, infer)
            collapsed = self.alarm is not None and bool(self.alarm.reason(by_source))
        except BaseException:
            adapter.load_state_dict(learned)
            adapter.trace_ = trace
            raise
        if collapsed:
            adapter.load_state_dict(learned)
        else:
            logits, self.event_ = by_source, f"back to the source: {reason}"
            _logger.warning("%s went %s.", type(adapter).__name__, self.event_)
        adapter.trace_ = {**trace, "reset": float(not collapsed)}
        return logits


def _without_metadata(inputs: Tensor) -> tuple[Tensor, str | None]:
    """Return images as a plain tensor, and what an inspection has found if there was one."""
    if not isinstance(inputs, MetaTensor):
        return inputs, None
    known = inputs.meta.get(FAULT_KEY)
    if isinstance(known, (list, tuple)):  # of a batch that a loader has put together
        known = "; ".join(filter(None, map(str, known)))
    return inputs.as_tensor(), known if known is None else str(known)


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
