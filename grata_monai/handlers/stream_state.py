# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Save all that a run over a stream needs to go on after a kill as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from ignite.engine import Engine, Events

from grata_monai._checks import check_number
from grata_monai.handlers.gathering import gathered
from grata_monai.state import read_state, write_state

FILE_VERSION = 1


class Stateful(Protocol):
    """Something whose state can be saved and loaded; plain containers and tensors only."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""


@runtime_checkable
class Checked(Protocol):
    """Something stateful that can tell, before anything begins, whether a state is its own."""

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise a ValueError if it is not."""


class StreamStateSaver:
    """Writes the state of a run to one file, atomically: at first, every few images, at the end.

    A run that is killed at any moment goes on from the file: with the same images, settings,
    device and library versions its results on a CPU are bit for bit those of a run without
    interruption. Images since the last save are done again. A file that does not fit is refused
    before any part has begun, and so before any has written, in all processes of a distributed run.
    The file is there from the start on, so that a run that was killed early is known, too. Put it
    behind all its parts: they act first at the start of an epoch and after each image.

    Args:
        path: The file.
        parts: What has a state, by name: the handlers, the data loader. Those that are ``Checked``
            are asked whether theirs is of this run.
        identity: What the state belongs to, as JSON holds it: settings, images. A state of
            anything else is refused.
        every: Images between two saves, >= 1.
        resume: Whether to go on from the file if there is one.

    Raises:
        ValueError: If ``every`` is no positive integer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parts: Mapping[str, Stateful],
        *,
        identity: Mapping[str, Any] | None = None,
        every: int = 8,
        resume: bool = False,
    ) -> None:
        check_number("StreamStateSaver", "every", every, minimum=1, integer=True)
        self.path = Path(path)
        self.parts = dict(parts)
        self.identity = dict(identity or {})
        self.every = every
        self.resume = resume
        self._found: dict[str, Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self.find)
        started = engine._event_handlers[Events.STARTED]
        started.insert(0, started.pop())
        engine.add_event_handler(Events.EPOCH_STARTED, self.load)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self.save)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Any) -> None:
        """Write the file.

        Raises:
            OSError: If it cannot be written; then the file is as it was before.
        """
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        state = {"version": FILE_VERSION, "identity": self.identity, "parts": parts}
        write_state(self.path, state)

    def find(self, engine: Any) -> None:
        """Read the file, if that is wanted and there is one.

        Raises:
            ValueError: If it is damaged or belongs to another run; here or in another process.
            OSError: If it cannot be read, likewise.
        """
        failures: list[Exception] = []
        try:
            self._found = self._read(engine.state.device) if self.resume else None
        except (OSError, ValueError) as error:
            failures.append(error)
        for failure in gathered(failures):
            raise failure

    def load(self, engine: Any) -> None:
        """Let the parts go on from what was found; if there was nothing, write what they begin as.

        Raises:
            ValueError: If a part cannot, e.g. because it is of another source network.
        """
        found, self._found = self._found, None
        if found is not None:
            with self._explaining():
                for name, part in self.parts.items():
                    part.load_state_dict(found[name])
        else:
            self.save(engine)

    def _read(self, device: torch.device) -> dict[str, Any] | None:
        """Return the states of all parts, or None if there is no file."""
        if not self.path.exists():
            return None
        state = read_state(self.path, device=device)
        with self._explaining():
            self._check(state)
            states = {name: state["parts"][name] for name in self.parts}
            for name, part in self.parts.items():
                if isinstance(part, Checked):
                    part.check_state_dict(states[name])
            return states

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Say of which file it is that something cannot be understood."""
        try:
            yield
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.path} is no state of this run: {error!r}.") from error

    def _check(self, state: Mapping[str, Any]) -> None:
        theirs, ours = state["identity"], self.identity
        if state["version"] != FILE_VERSION:
            raise ValueError(
                f"{self.path} has the version {state['version']!r}; this is {FILE_VERSION}."
            )
        differences = [
            f"{key} was {theirs.get(key)!r} and is {ours.get(key)!r}"
            for key in (*theirs, *(key for key in ours if key not in theirs))
            if theirs.get(key) != ours.get(key)
        ]
        if differences:
            raise ValueError(
                f"{self.path} is of a run with other settings: {'; '.join(differences[:4])}. Go on "
                "with the same ones, or start anew in another folder."
            )
