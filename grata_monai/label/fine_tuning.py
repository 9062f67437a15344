# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fine-tune the current version of a model on label maps that people saved."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from monai.metrics.meandice import DiceMetric

from grata_monai._checks import check_choice, check_flag, check_number
from grata_monai.bundle import run_workflow
from grata_monai.bundle.setup import check_image_size
from grata_monai.data import FundusItem
from grata_monai.label._random_state import random_state_kept
from grata_monai.label._work_folder import work_folder
from grata_monai.label.training_set import DOMAIN, LabeledImage, TrainingSet, write_training_set
from grata_monai.label.versions import ModelVersion, ModelVersions
from grata_monai.networks import source_network
from grata_monai.transforms import fundus_preprocessing

__all__ = ["PUBLISH", "FineTuning", "LabeledImage", "fine_tune"]

Publish = Literal["if_not_worse", "always", "never"]
PUBLISH = ("if_not_worse", "always", "never")
TOLERANCE = 0.005  # Dice; less than this is noise on a few images
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """Settings of a fine-tuning; learning rate and momentum are ours, for few images.

    Args:
        epochs: How often to go through the images, >= 1.
        learning_rate: Of the first epoch, >= 0.
        momentum: Of SGD, in [0, 1); with fewer steps than the source model's 0.99 is made for.
        batch_size: Images per step, >= 1.
        freeze_statistics: Whether batch normalization keeps the parent's statistics. Those of a few
            images replace them sooner than the weights follow, which costs more than is learned.
        validation: Share of the images to hold out, in [0, 0.9]; see ``write_training_set``.
        seed: Seed of the augmentation and of the choice of images to hold out.
        image_size: Side of the network's input, a multiple of 32; that of the source model.
        roi_size: Side of the region around the disc in pixels of the photograph.
        whole: Whether the images are whole photographs rather than such regions.
        publish: Whether to use the result from now on: ``"always"``, ``"never"``, or
            ``"if_not_worse"`` than the current version by more than 0.005 Dice (and if that is
            still the current one).
        device: E.g. "cuda:1"; None for the GPU, if there is one.
        num_workers: Loading processes.

    Raises:
        ValueError: If a value is out of range.
    """

    epochs: int = 20
    learning_rate: float = 1e-3
    momentum: float = 0.9
    batch_size: int = 4
    freeze_statistics: bool = True
    validation: float = 0.2
    seed: int = 0
    image_size: int = 512
    roi_size: int = 800
    whole: bool = True
    publish: Publish = "if_not_worse"
    device: str | None = None
    num_workers: int = 0

    def __post_init__(self) -> None:
        """Check everything before anything is read."""
        owner = "FineTuning"
        check_number(owner, "epochs", self.epochs, minimum=1, integer=True)
        check_number(owner, "learning_rate", self.learning_rate, minimum=0.0)
        check_number(owner, "momentum", self.momentum, minimum=0.0, maximum=0.999)
        check_number(owner, "batch_size", self.batch_size, minimum=1, integer=True)
        check_number(owner, "validation", self.validation, minimum=0.0, maximum=0.9)
        check_number(owner, "seed", self.seed, minimum=0, maximum=2**32 - 1, integer=True)
        check_image_size(self.image_size)
        check_number(owner, "roi_size", self.roi_size, minimum=32, integer=True)
        check_flag(owner, "freeze_statistics", self.freeze_statistics)
        check_flag(owner, "whole", self.whole)
        check_choice(owner, "publish", self.publish, PUBLISH)
        check_number(owner, "num_workers", self.num_workers, minimum=0, integer=True)


def fine_tune(
    versions: ModelVersions,
    items: Sequence[LabeledImage],
    settings: FineTuning | None = None,
    *,
    work: str | os.PathLike[str],
) -> ModelVersion:
    """Train the current version on labeled images and add the result as a version.

    This is the bundle's train config, started from the current version's weights; the last epoch's
    are kept. Self-supervised heads, which an annotation server has no use for, stay behind in the
    parent (the train config's ``heads_only`` makes new ones). Dice (mean of disc and cup, at the
    network's resolution, without adaptation) is measured for both on the same images; on the
    training images where there are too few to hold some out.

    Args:
        versions: Where the model comes from and goes to.
        items: Photographs with label maps; those that cannot be used are left out.
        settings: None for the defaults.
        work: Folder for masks, lists, checkpoints and the log; made if missing, must be empty.
            Removed when all went well.

    Returns:
        The new version; its ``info`` holds ``images`` (trained on), ``validation_images``,
        ``validated_on``, ``epochs``, ``dice_before``, ``dice_after``, both ``by_structure``,
        ``published``, ``skipped`` and the ``settings``.

    Raises:
        FileNotFoundError: If there is no current version.
        ValueError: If fewer than two images can be used or a setting does not fit.
        RuntimeError: If the training fails otherwise. In both cases ``work`` is kept, with a log.
    """
    settings = settings or FineTuning()
    parent = versions.current()
    if len(items) < 2:
        raise ValueError(f"Fine-tuning needs at least two labeled images. Got {len(items)}.")
    folder = Path(work)
    with work_folder(folder):
        data = write_training_set(
            items,
            folder,
            whole=settings.whole,
            validation=settings.validation,
            seed=settings.seed,
        )
        with random_state_kept():
            trained = _train(parent, data, settings)
            before, after = (
                measure_dice(path, data.validation, settings) for path in (parent.weights, trained)
            )
        change = after["mean"] - before["mean"]
        publish = _is_published(versions, parent, change, settings.publish)
        version = versions.add(
            trained,
            kind="fine_tuned",
            parent=parent.name,
            make_current=publish,
            images=len(data.training),
            validation_images=len(data.validation),
            validated_on="held-out images" if data.held_out else "the training images",
            epochs=settings.epochs,
            dice_before=before["mean"],
            dice_after=after["mean"],
            by_structure={name: [before[name], after[name]] for name in ("disc", "cup")},
            published=publish,
            skipped=list(data.skipped),
            settings=asdict(settings),
        )
    shutil.rmtree(folder, ignore_errors=True)
    return version


def measure_dice(
    weights: str | os.PathLike[str], items: Sequence[FundusItem], settings: FineTuning
) -> dict[str, float]:
    """Return the mean Dice of a source model, not adapted, on labeled images.

    Args:
        weights: The model.
        items: MONAI datalist with masks.
        settings: Sizes and device.

    Returns:
        Dice in [0, 1] of ``disc`` and ``cup``, and their ``mean``.
    """
    device = torch.device(settings.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network = source_network(weights).to(device).eval()
    preprocess = fundus_preprocessing(size=settings.image_size, roi_size=settings.roi_size)
    metric = DiceMetric(include_background=True, reduction="mean_batch", ignore_empty=False)
    with torch.inference_mode():
        for item in items:
            ready: Any = preprocess(dict(item))
            logits = network(ready["image"].as_tensor()[None].to(device)).float().cpu()
            metric(
                y_pred=(torch.sigmoid(logits) >= 0.5).float(), y=ready["label"].as_tensor()[None]
            )
    disc, cup = metric.aggregate().tolist()
    return {"disc": disc, "cup": cup, "mean": (disc + cup) / 2}


def _train(parent: ModelVersion, data: TrainingSet, settings: FineTuning) -> Path:
    """Run the bundle's training and return the file of its weights."""
    checkpoints = data.folder / "checkpoints"
    run_workflow(
        "train",
        dataset_dir=data.folder.absolute(),
        domain=DOMAIN,
        validation="test",
        ckpt_dir=checkpoints.absolute(),
        output_dir=checkpoints.absolute(),
        encoder_weights=parent.weights.absolute(),
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        batch_size=settings.batch_size,
        freeze_statistics=settings.freeze_statistics,
        image_size=settings.image_size,
        roi_size=settings.roi_size,
        seed=settings.seed,
        num_workers=settings.num_workers,
        **({"device": settings.device} if settings.device else {}),
    )
    return checkpoints / "model.pt"


def _is_published(
    versions: ModelVersions, parent: ModelVersion, change: float, publish: Publish
) -> bool:
    if publish != "if_not_worse":
        return publish == "always"
    current = versions.current().name
    if current != parent.name:
        _logger.warning(
            "%s became current while %s was fine-tuned; the result is kept, but not made current",
            current,
            parent.name,
        )
        return False
    return change >= -TOLERANCE
