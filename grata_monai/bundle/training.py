# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the bundle's training configs check and run."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import torch

from grata_monai._checks import check_flag, check_number
from grata_monai.bundle.data import Split
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.training import TrainingCheckpoint, resume_training

_logger = logging.getLogger(__name__)


@exits_on_user_error
def check_training(
    split: Split,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    auxiliary_weight: float,
    heads_only: bool = False,
    replicas: int = 1,
) -> None:
    """Check the numbers of a training and that there is something to train on.

    Args:
        split: Images to train and validate on.
        epochs: How often to go through the images, >= 1.
        batch_size: Images per step, >= 1.
        learning_rate: Learning rate of the first epoch, >= 0.
        auxiliary_weight: Weight of the losses of the heads, >= 0.
        heads_only: Whether only the heads are trained.
        replicas: Processes that train; one if only the heads are trained.
    """
    owner = "the bundle"
    check_number(owner, "epochs", epochs, minimum=1, integer=True)
    check_number(owner, "batch_size", batch_size, minimum=1, integer=True)
    check_number(owner, "learning_rate", learning_rate, minimum=0.0)
    check_number(owner, "auxiliary_weight", auxiliary_weight, minimum=0.0)
    check_flag(owner, "heads_only", heads_only)
    if heads_only and replicas > 1:
        raise ValueError(
            "Only the heads are trained ('heads_only'), which is done by one process: use "
            f"train.json alone. Got {replicas} processes."
        )
    if not split.training:
        raise ValueError(
            "There are no images to train on: 'validation' is 'all', which only serves to evaluate."
        )
    _logger.info(
        "%d images to train on, %d to validate on", len(split.training), len(split.validation)
    )


@exits_on_user_error
def start_or_resume(trainer: Any, checkpoint: TrainingCheckpoint, *, resume: bool) -> None:
    """Go on from the last checkpoint of an interrupted training, or make sure that there is none.

    Args:
        trainer: The trainer, before it runs.
        checkpoint: Its checkpoint handler.
        resume: Whether to go on.
    """
    if resume:
        resume_training(trainer, checkpoint)
    elif checkpoint.exists():
        raise ValueError(
            f"{checkpoint.directory} holds a training already, which would be overwritten; resume "
            "it (--resume), or give another folder."
        )


@exits_on_user_error
def run_training(trainer: Any) -> None:
    """Run a trainer, unless it was resumed after its last epoch.

    Args:
        trainer: MONAI trainer.
    """
    if trainer.state.epoch >= trainer.state.max_epochs:
        # ignite would take a finished state for a new start and train from the first epoch.
        _logger.info("The training is complete after %d epochs", trainer.state.epoch)
        return
    trainer.run()


def start_distributed(
    backend: str, device: torch.device, *, patience: timedelta | None = None
) -> None:
    """Join the processes that ``torchrun`` started; only the first of them logs.

    Args:
        backend: ``"nccl"`` or ``"gloo"``.
        device: Device of this process.
        patience: How long a process waits for another; None for torch's 10 to 30 minutes. Where
            they meet only at the end, one that has less to do waits for long; one that fails is
            noticed at once all the same.
    """
    distributed = torch.distributed
    if not distributed.is_initialized():
        distributed.init_process_group(backend=backend, init_method="env://", timeout=patience)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if distributed.get_rank() > 0:
        logging.disable(logging.INFO)


def stop_distributed() -> None:
    """Leave the group of processes."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
