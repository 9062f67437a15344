# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training: its state to resume from, and the plain weights to use."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from grata_monai._files import atomic_path

_EARLIER = {"roi_size": 800}  # settings unknown to earlier versions; others were off
LAST = "last.pt"
BEST = "best.pt"
FINAL = "model.pt"
_logger = logging.getLogger(__name__)


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside a wrapper for distributed training, or the network itself."""
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return network.module  # type: ignore[no-any-return]
    return network


def save_source_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a network's weights as MONAI's bundle commands and ``load_source_weights`` read them.

    That is its state dict on the CPU; wrappers for distributed training leave no trace.

    Args:
        network: ``ResUNet34``, ``WithHeads`` around it, or a data-parallel wrapper of these.
        path: File to write; replaced as a whole if it exists.
    """
    state = {name: value.detach().cpu() for name, value in unwrapped(network).state_dict().items()}
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


class TrainingCheckpoint:
    """Writes checkpoints of a training as it goes, each file as a whole or not at all.

    After each epoch ``last.pt`` (everything to resume from) and, if the validation metric is the
    best so far, ``best.pt`` (weights); at the end ``model.pt`` (weights of the last epoch, as in
    the recipe of the published source models). Put it after the handlers that step the
    learning rate and validate, whose results it saves. In distributed training only the first
    process writes.

    Args:
        directory: Folder for the files; made if missing.
        network: The network.
        objects: What else to resume by name: optimizer, scheduler; anything with
            ``state_dict`` and ``load_state_dict``.
        settings: Numbers and strings that a resumed training must share, such as epochs and
            batch size.
        evaluator: Validation engine whose key metric decides the best epoch; None for none.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        network: nn.Module,
        objects: Mapping[str, Any],
        settings: Mapping[str, Any],
        evaluator: Engine | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.network = network
        self.objects = dict(objects)
        self.settings = dict(settings)
        self.evaluator = evaluator

    def exists(self) -> bool:
        """Return whether the folder has a checkpoint to resume from."""
        return (self.directory / LAST).is_file()

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; a second call for the same one does nothing."""
        if not engine.has_event_handler(self.save_epoch, Events.EPOCH_COMPLETED):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.save_epoch)
            engine.add_event_handler(Events.COMPLETED, self.save_final)

    def save_epoch(self, engine: Engine) -> None:
        """Write the weights if they are the best so far, and the state of the training."""
        if not _is_writer():
            return
        if self.evaluator is not None and self.evaluator.state.best_metric_epoch == (
            engine.state.epoch
        ):
            save_source_weights(self.network, self.directory / BEST)
        with atomic_path(self.directory / LAST) as temporary:
            torch.save(self.state_dict(engine), temporary)

    def save_final(self, engine: Engine) -> None:
        """Write the weights of the last epoch."""
        if not _is_writer():
            return
        save_source_weights(self.network, self.directory / FINAL)
        _logger.info("Wrote the source model to %s", self.directory / FINAL)

    def state_dict(self, engine: Engine) -> dict[str, Any]:
        """Return all that the rest of the training depends on; tensors and plain containers."""
        best = None
        if self.evaluator is not None:
            state = self.evaluator.state
            best = {"metric": float(state.best_metric), "epoch": int(state.best_metric_epoch)}
        return {
            "network": unwrapped(self.network).state_dict(),
            "objects": {name: item.state_dict() for name, item in self.objects.items()},
            "settings": self.settings,
            "best": best,
            "epoch": int(engine.state.epoch),
            "epoch_length": int(engine.state.epoch_length or 0),
        }

    def load_state_dict(self, engine: Engine, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same training.

        Raises:
            ValueError: If the settings differ; nothing has been changed then.
        """
        given = {**self.settings, "epoch_length": engine.state.epoch_length}
        saved = {**state["settings"], "epoch_length": state["epoch_length"]}
        for name in given:
            then = saved.get(name, _EARLIER.get(name, False))
            if given[name] != then:
                raise ValueError(
                    f"Cannot resume from {self.directory / LAST}: its {name} is "
                    f"{then!r}, now it is {given[name]!r}. Resume with the same "
                    "settings and data, or train anew in another folder."
                )
        unwrapped(self.network).load_state_dict(state["network"])
        for name, item in self.objects.items():
            item.load_state_dict(state["objects"][name])
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * state["epoch_length"]
        if self.evaluator is not None and state["best"] is not None:
            self.evaluator.state.best_metric = state["best"]["metric"]
            self.evaluator.state.best_metric_epoch = state["best"]["epoch"]


def resume_training(engine: Engine, checkpoint: TrainingCheckpoint) -> int:
    """Load the last checkpoint into a training that has not started.

    Args:
        engine: The trainer.
        checkpoint: Its checkpoint handler, which knows the folder and what to load into.

    Returns:
        How many epochs are done.

    Raises:
        FileNotFoundError: If there is no checkpoint to resume from.
        ValueError: If the checkpoint is damaged or of a training with other settings.
    """
    path = checkpoint.directory / LAST
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path} to resume from; train without 'resume', or check the folder."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may fail in any way on bytes that are no pickle
        raise ValueError(f"{path} is damaged or no checkpoint of a training.") from error
    try:
        checkpoint.load_state_dict(engine, state)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} is no checkpoint of such a training: {error!r}") from error
    _logger.info("Resumed from %s after %d epochs", path, engine.state.epoch)
    return int(engine.state.epoch)


def _is_writer() -> bool:
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized()) or (
        distributed.get_rank() == 0
    )
