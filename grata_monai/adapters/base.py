# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The one contract of all methods: bind -> adapt -> reset -> release."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, Literal, cast
from weakref import finalize

import torch
from torch import Tensor, nn

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.binding import Binding, check_images, check_network
from grata_monai.adapters.settings import Configurable
from grata_monai.adapters.trace import mean_trace
from grata_monai.state import (
    NonFiniteUpdateError,
    StatisticsPolicy,
    evaluating,
    require_finite,
)

LifeCycle = Literal["per_image", "per_dataset", "never"]
Predict = Literal["after_update", "before_update"]
Infer = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
Windows = Callable[[Tensor], Iterable[Tensor]]

STATE_VERSION = 1
_logger = logging.getLogger(__name__)
_LARGEST_SEED = 2**63 - 1

_MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What taking over a state raises that is damaged or was made to do harm."""


class Adapter(Configurable, ABC):
    """Adapts a source network to test images, one after the other, without labels.

    ``bind(network)`` takes a network in hand (the caller's own object, changed in place),
    ``adapt(images)`` updates it on the images and returns their logits, ``reset()`` goes back to
    the source bit for bit, ``release()`` gives the network back as it was found.

    A method implements ``_update`` and, where it needs them, ``_policy``, ``_parameters``,
    ``_start``, ``_predict`` and the pair ``_method_state`` / ``_load_method_state``. It never sees
    labels: there is no argument for them.

    Args:
        life_cycle: When to go back to the source: before every image (``"per_image"``, episodic),
            at the start of every data set (``"per_dataset"``, the paper's protocol; each
            ``bind`` starts one), or ``"never"`` (continual: the adapted state outlives
            ``release`` and goes on at the next ``bind`` to the same source).
        predict: Take the logits ``"after_update"`` (the paper) or ``"before_update"``.
        seed: Seed of the adapter's own generator; ``reset`` restarts it.

    Attributes:
        trace_: Numbers of the last image: losses, learning rate, cosine (by method), and
            ``updated``, 0.0 if the update was skipped because something was not finite. Of an
            image adapted to by windows: the means over these, and how many ``windows`` there were.
        images_seen_: Number of images (or batches, or windows) adapted to since the source state.
        lock: Held by those who share the adapter between threads, as ``AdaptiveInferer`` does.
    """

    needs_batch_norm = True
    """Whether the method has nothing to act on without batch normalization."""

    def __init__(
        self,
        *,
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        owner = type(self).__name__
        check_choice(owner, "life_cycle", life_cycle, ("per_image", "per_dataset", "never"))
        check_choice(owner, "predict", predict, ("after_update", "before_update"))
        check_number(owner, "seed", seed, minimum=0, maximum=_LARGEST_SEED, integer=True)
        self.life_cycle = life_cycle
        self.predict = predict
        self.seed = seed
        self.trace_: dict[str, float] = {}
        self.images_seen_ = 0
        self._binding: Binding | None = None
        self._carried: dict[str, Any] | None = None
        self.lock = RLock()

    # -- contract ---------------------------------------------------------------------------

    def bind(self, network: nn.Module) -> Adapter:
        """Take a network in hand; what it is now is the source from here on.

        Args:
            network: A network with logits as its only output; not a TorchScript or
                data-parallel wrapper.

        Raises:
            RuntimeError: If the adapter or the network is bound already.
            TypeError: If the network cannot be adapted.
            ValueError: If it lacks what the method needs, e.g. batch normalization.
        """
        if self._binding is not None:
            raise RuntimeError(f"{type(self).__name__} is bound already; release() it first.")
        check_network(network)
        self._check(network)
        self._binding = binding = Binding(network, self._policy(), self._parameters(network))
        # An adapter that is dropped while bound gives the network back, too.
        self._finalizer = finalize(self, binding.undo)
        self._finalizer.atexit = False
        try:
            self._restart()
            if self.life_cycle == "never" and self._carried is not None:
                self.load_state_dict(self._carried)
        except BaseException:
            self._let_go()
            raise
        return self

    def adapt(
        self, images: Tensor, infer: Infer | None = None, *, windows: Windows | None = None
    ) -> Tensor:
        """Adapt to images and return their logits.

        Works under ``no_grad`` and ``inference_mode`` and gives the same in ``train()`` and
        ``eval()``. If image, loss or gradient is not finite, or the network raises while it is
        adapted, all stays as it was before. If only the prediction raises, the update stays made.

        Under automatic mixed precision prefer bfloat16: float16 loses small gradients, and there
        is no gradient scaling here.

        Args:
            images: BxCx*spatial, floating point; the methods assume [0, 1]. Left untouched.
            infer: How to predict, as ``infer(images, network) -> logits``, e.g. with a sliding
                window; default: one forward pass.
            windows: What to adapt to, as ``windows(images)``, which gives parts of the images,
                each of which is an update of its own within the one life of the images. A part
                that is not finite makes none. Default: the images as a whole.

        Returns:
            Detached logits, as the network itself would return them.

        Raises:
            RuntimeError: If no network is bound.
            TypeError: If images or the network's output are no floating-point tensors.
            ValueError: If the shape of the images is wrong.
        """
        binding = self._bound()
        check_images(images)
        with torch.inference_mode(False), torch.enable_grad(), evaluating(binding.network):
            images = images.detach().clone()  # networks may change their input in place
            # What methods keep of images must hold no metadata.
            plain = images if type(images) is Tensor else images.as_subclass(Tensor)
            if self.life_cycle == "per_image":
                self._restart()
            if self.predict == "before_update":
                logits = self._infer(images, infer)
                self._learn(plain, windows)
            else:
                self._learn(plain, windows)
                logits = self._infer(images, infer)
        return logits

    def predict_only(self, images: Tensor, infer: Infer | None = None) -> Tensor:
        """Return the logits of images without learning from them.

        They are those of the present state (with ``per_image``: of the source). All that later
        images depend on is afterwards bit for bit as if the images had never come.

        Args:
            images: As for ``adapt``.
            infer: As for ``adapt``.

        Raises:
            RuntimeError: If no network is bound.
            TypeError: If images or the network's output are no floating-point tensors.
            ValueError: If the shape of the images is wrong.
        """
        binding = self._bound()
        check_images(images)
        with torch.inference_mode(False), torch.no_grad(), evaluating(binding.network):
            before = self._learned()
            try:
                if self.life_cycle == "per_image":
                    self._restart()
                else:
                    self._take_over(before)  # without what the last update left for its image
                logits = self._infer(images.detach().clone(), infer)
            finally:
                self._take_over(before)
        return logits

    @contextmanager
    def as_source(self) -> Iterator[None]:
        """Let the bound network be the source's for a block: its parameters, its statistics."""
        binding = self._bound()
        modes = (torch.inference_mode(False), torch.no_grad(), evaluating(binding.network))
        with modes[0], modes[1], modes[2], binding.as_source():
            yield

    def reset(self) -> None:
        """Go back to the source: weights, optimizer, memories, generator.

        State that the life cycle ``never`` keeps for the next ``bind`` is forgotten; for that the
        adapter need not be bound.
        """
        self._carried = None
        if self._binding is not None:
            self._restart()

    def begin_dataset(self) -> None:
        """Announce a new data set while bound: resets if the life cycle is ``per_dataset``."""
        if self.life_cycle == "per_dataset":
            self.reset()

    def release(self) -> None:
        """Give the network back as it was found; nothing happens if none is bound."""
        if self._binding is None:
            return
        try:
            if self.life_cycle == "never":
                self._carried = self.state_dict()
        finally:
            self._let_go()

    @contextmanager
    def bound(self, network: nn.Module) -> Iterator[Adapter]:
        """Bind for a block and release after it, also after an exception."""
        self.bind(network)
        try:
            yield self
        finally:
            self.release()

    @property
    def network(self) -> nn.Module | None:
        """The bound network, or None."""
        return None if self._binding is None else self._binding.network

    @property
    def adapted_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that the method may change in the bound network."""
        return tuple(self._bound().parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that later images depend on; plain containers and tensors only."""
        return {
            "version": STATE_VERSION,
            "adapter": type(self).__name__,
            "source": self._bound().fingerprint,
            **self._learned(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same method on the same source network.

        Raises:
            ValueError: If the state is of another version, method or source, or damaged; nothing
                changes.
        """
        own = {"version": STATE_VERSION, "adapter": type(self).__name__}
        for key, value in (own | {"source": self._bound().fingerprint}).items():
            given = state.get(key)
            if type(given) is not type(value) or given != value:
                raise ValueError(
                    f"The state does not fit: its {key} is {given!r}, here {value!r}. "
                    "Load it into the same method bound to the same source network; reset() "
                    "forgets a state that was kept by the life cycle 'never'."
                )
        before = self.state_dict()
        try:
            if not before.keys() <= state.keys():
                raise KeyError(*sorted(before.keys() - state.keys()))
            self._take_over(state)
        except _MISFITS as error:
            self._take_over(before)
            raise ValueError(f"The state is damaged, nothing was changed: {error!r}.") from error

    # -- for methods ------------------------------------------------------------------------

    @abstractmethod
    def _update(self, images: Tensor) -> dict[str, float]:
        """Adapt to images once and return numbers for the trace."""

    def _check(self, network: nn.Module) -> None:
        """Check that the network offers what the method needs."""

    def _policy(self) -> StatisticsPolicy | None:
        """Return which statistics batch normalization uses; None leaves the layers alone."""
        return None

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        """Return the parameters that the method changes."""
        return {}

    def _start(self) -> None:
        """Make optimizer and memories as they are at the source state."""

    def _predict(self, images: Tensor) -> Tensor:
        """Return the logits of the current state."""
        return cast("Tensor", self._bound().network(images))

    def _method_state(self) -> dict[str, Any]:
        """Return optimizer and memories."""
        return {}

    def _load_method_state(self, state: dict[str, Any]) -> None:
        """Take over optimizer and memories."""

    # -- inside -----------------------------------------------------------------------------

    def _bound(self) -> Binding:
        if self._binding is None:
            raise RuntimeError(
                f"{type(self).__name__} has no network; call bind(network) first or use "
                "'with adapter.bound(network):'."
            )
        return self._binding

    def _let_go(self) -> None:
        binding = self._bound()
        self._binding = None
        self._finalizer.detach()
        binding.undo()

    def _learned(self) -> dict[str, Any]:
        """Return a copy of what changes from image to image."""
        binding = self._bound()
        with torch.inference_mode(False):
            return {
                "images_seen": self.images_seen_,
                **binding.learned(),
                "generator": self._generator.get_state(),
                "method": self._method_state(),
            }

    def _take_over(self, state: dict[str, Any]) -> None:
        binding = self._bound()
        self.trace_ = {"updated": 0.0}
        with torch.inference_mode(False), torch.no_grad():
            binding.take_over(state)
            self._generator.set_state(state["generator"])
            self.images_seen_ = int(state["images_seen"])
            self._load_method_state(state["method"])

    def _restart(self) -> None:
        binding = self._bound()
        binding.snapshot.restore_values()
        binding.activate()
        if binding.policy:
            binding.policy.reset()
        self._generator = torch.Generator().manual_seed(self.seed)
        self.images_seen_ = 0
        self.trace_ = {}
        with torch.inference_mode(False):
            self._start()

    def _learn(self, images: Tensor, windows: Windows | None) -> None:
        """Update on images or, one after the other, on windows of them."""
        if windows is None:
            self._update_if_finite(images)
            return
        before, traces = self._learned(), []
        try:
            for window in windows(images):
                check_images(window)
                self._update_if_finite(window)
                traces.append(self.trace_)
        except BaseException:
            self._take_over(before)
            raise
        self.trace_ = {**mean_trace(traces), "windows": float(len(traces))}

    def _update_if_finite(self, images: Tensor) -> None:
        generator_state = self._generator.get_state()
        try:
            require_finite("image", [images])
            self.trace_ = {**self._update(images), "updated": 1.0}
            self.images_seen_ += 1
        except NonFiniteUpdateError as error:
            self._generator.set_state(generator_state)
            self.trace_ = {"updated": 0.0}
            _logger.warning("%s made no update: %s", type(self).__name__, error)
        except BaseException:
            self._generator.set_state(generator_state)
            raise

    @torch.no_grad()
    def _infer(self, images: Tensor, infer: Infer | None) -> Tensor:
        logits = self._predict(images) if infer is None else infer(images, self._predict)
        if not isinstance(logits, Tensor):
            raise TypeError(
                f"The network must return one tensor of logits; got {type(logits).__name__}."
            )
        return logits.detach()
