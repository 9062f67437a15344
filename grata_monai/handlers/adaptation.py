# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Test-time adaptation of an evaluator's network, image by image."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.inferers import Inferer
from torch import Tensor, nn

from grata_monai.adapters import Adapter
from grata_monai.handlers.gathering import is_first
from grata_monai.handlers.trace import TraceWriter
from grata_monai.inferers import AdaptiveInferer


class TestTimeAdaptationHandler:
    """Makes any MONAI evaluator adapt its network to each image before predicting it.

    At the start of a run it binds the adapter to ``engine.network`` and puts an
    ``AdaptiveInferer`` around ``engine.inferer``; at the end, also after an exception, it releases
    the network and gives the inferer back. All adaptation runs in the inferer, so an evaluator
    that already has an ``AdaptiveInferer`` with the same adapter does not adapt twice; the handler
    then adds the life of the state over the run, and the trace.

    After each image ``engine.state.adaptation`` holds its numbers (losses, gradient norms, cosine,
    learning rate, seconds) and ``engine.state.adaptation_event`` what was out of the ordinary, both
    of which also go to a CSV file and to TensorBoard. Items may say their place in the stream under
    the key ``position``.

    Of a distributed run every process adapts to its own images; the first one writes the rows of
    all.

    Put a ``CheckpointLoader`` before this handler: both act when the run starts, and what is loaded
    after it would not be the source.

    Args:
        adapter: The method.
        trace_path: CSV file for one row per iteration; None for none.
        timing_path: CSV file for the seconds of each; None for none.
        log_dir: Folder for TensorBoard events (needs the extra ``tensorboard``); None for none.
        dataset_key: Key of the items that names the data set they are of; where it changes, the
            adapter's life cycle ``per_dataset`` starts anew. None: all are of one.

    Raises:
        TypeError: If ``adapter`` is none.
    """

    __test__ = False  # not a test class, whatever its name looks like

    def __init__(
        self,
        adapter: Adapter,
        *,
        trace_path: str | os.PathLike[str] | None = None,
        timing_path: str | os.PathLike[str] | None = None,
        log_dir: str | os.PathLike[str] | None = None,
        dataset_key: str | None = None,
    ) -> None:
        if not isinstance(adapter, Adapter):
            raise TypeError(
                f"TestTimeAdaptationHandler needs an Adapter; got {type(adapter).__name__}."
            )
        self.adapter = adapter
        self.trace_path = trace_path
        self.timing_path = timing_path
        self.log_dir = log_dir
        self.dataset_key = dataset_key
        self._dataset: str | None = None
        self._trace: TraceWriter | None = None
        self._inner: Inferer | None = None
        self._engine: Any = None

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator; a second call for the same one does nothing."""
        # An evaluator attaches its handlers before it has a network: that is checked in start().
        if engine.has_event_handler(self.start, Events.STARTED):
            return
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_STARTED, self.enter)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.record)
        engine.add_event_handler(Events.COMPLETED, self.complete)
        engine.add_event_handler(Events.TERMINATE, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)
        # Handlers of this event often re-raise (MONAI's StatsHandler does), which would keep
        # later ones from running; the network must be given back whatever the order of handlers.
        raised = engine._event_handlers[Events.EXCEPTION_RAISED]
        raised.insert(0, raised.pop())

    def start(self, engine: Any) -> None:
        """Bind the adapter and wrap the inferer.

        Raises:
            TypeError: If the engine has no network and inferer.
            ValueError: If its inferer adapts with another adapter.
        """
        if not hasattr(engine, "network") or not hasattr(engine, "inferer"):
            raise TypeError(
                f"{type(engine).__name__} has no network and inferer; attach the handler to a "
                "MONAI evaluator such as SupervisedEvaluator."
            )
        present = engine.inferer
        if isinstance(present, AdaptiveInferer) and present.adapter is not self.adapter:
            raise ValueError(
                "The evaluator's inferer adapts with another adapter than this handler's; give "
                "both the same one, or the evaluator a plain inferer."
            )
        self.adapter.bind(engine.network)
        self._engine = engine
        self._inner = present
        wrapped = present
        if not isinstance(present, AdaptiveInferer):
            wrapped = AdaptiveInferer(self.adapter, present)
        engine.inferer = _Publishing(wrapped, engine)
        engine.state.adaptation, engine.state.adaptation_event = {}, ""
        self._dataset = None
        paths = (self.trace_path, self.timing_path) if is_first() else (None, None)
        self._trace = TraceWriter(paths[0], timing_path=paths[1], log_dir=self.log_dir)

    def enter(self, engine: Any) -> None:
        """Tell the adapter if the image about to come is of another data set than the last one."""
        if self.dataset_key is None or engine is not self._engine:
            return
        name = _first(engine.state.batch).get(self.dataset_key)
        name = name[0] if isinstance(name, list) else name
        if self._dataset is not None and name != self._dataset:
            self.adapter.begin_dataset()
        self._dataset = name

    def record(self, engine: Any) -> None:
        """Add the numbers of the image just predicted to the trace."""
        if self._trace is not None and engine is self._engine:
            state = engine.state
            name = _image_name(state.batch, default=f"#{state.iteration}")
            index = int(_first(state.batch).get("position", state.iteration - 1))
            self._trace.add(name, state.adaptation, index=index, event=state.adaptation_event)

    def complete(self, engine: Any) -> None:
        """Finish a run that came to its end."""
        self.finish(engine, completed=True)

    def finish(self, engine: Any, *, completed: bool = False) -> None:
        """Release the network, give the inferer back, complete the trace; once per run.

        Args:
            engine: The evaluator.
            completed: Whether the run came to its end; the other processes' did, too, then.
        """
        if engine is not self._engine:
            return
        self._engine = None
        engine.inferer = self._inner
        trace, self._trace = self._trace, None
        try:
            self.adapter.release()
        finally:
            if trace is not None:
                trace.close(gather=completed)

    def fail(self, engine: Any, error: BaseException) -> None:
        """Finish, then raise on unless somebody else handles the exception."""
        self.finish(engine)
        last, *_ = engine._event_handlers[Events.EXCEPTION_RAISED][-1]
        if getattr(last, "__self__", None) is self:
            raise error  # our being registered keeps ignite from doing so

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on; plain containers and tensors only."""
        trace = {} if self._trace is None else self._trace.state_dict()
        return {"adapter": self.adapter.state_dict(), "dataset": self._dataset, "trace": trace}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, after the start of a run, from where another one was.

        Raises:
            ValueError: If the state is of another method or source, or damaged.
        """
        self.adapter.load_state_dict(state["adapter"])
        self._dataset = state["dataset"]
        if self._trace is not None:
            self._trace.load_state_dict(state["trace"])


class _Publishing(Inferer):
    """Puts the numbers of each call into the engine's state, and how long it took."""

    def __init__(self, inferer: AdaptiveInferer, engine: Any) -> None:
        self.inferer = inferer
        self.engine = engine

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        start = time.perf_counter()
        logits = self.inferer(inputs, network, *args, **kwargs)
        seconds = time.perf_counter() - start
        state = self.engine.state
        state.adaptation = {**self.inferer.adapter.trace_, "seconds": seconds}
        state.adaptation_event = self.inferer.event_
        return logits


def _image_name(batch: Any, *, default: str) -> str:
    """Return the file name of the first image of a batch, if its metadata tells."""
    names = getattr(_first(batch).get("image"), "meta", {}).get("filename_or_obj", default)
    return str(names if isinstance(names, str) else names[0])


def _first(batch: Any) -> Mapping[str, Any]:
    """Return the first item of a batch, which MONAI has split by the end of an iteration."""
    first = batch[0] if isinstance(batch, list) and batch else batch
    return first if isinstance(first, dict) else {}
