# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Training task: fine-tune the served model on label maps that people saved."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from grata_monai.label.fine_tuning import PUBLISH, FineTuning, LabeledImage, fine_tune
from grata_monai.label.server.errors import client_errors
from grata_monai.label.service import SegmentationService

_KEPT_SECONDS = 7 * 24 * 3600
_Number = TypeVar("_Number", int, float)
_logger = logging.getLogger(__name__)


class FundusTrain(TrainTask):
    """Fine-tunes the current version of the model; the result is the next version.

    MONAI Label runs it in a process of its own. The server serves the new version from the next
    request on, and any older one again when it is made current.

    Args:
        service: Whose model and settings.
        whole: Whether the studies are whole photographs.
    """

    def __init__(self, service: SegmentationService, *, whole: bool) -> None:
        where = "whole photographs" if whole else "regions around the disc"
        super().__init__(f"Fine-tune the model on final label maps of {where}")
        self.service = service
        self.whole = whole

    def config(self) -> dict[str, Any]:
        """Return what clients may choose, with defaults."""
        defaults = FineTuning()
        return {
            "max_epochs": defaults.epochs,
            "learning_rate": defaults.learning_rate,
            "batch_size": defaults.batch_size,
            "val_split": defaults.validation,
            "freeze_statistics": defaults.freeze_statistics,
            "publish": list(PUBLISH),
        }

    def stats(self) -> dict[str, Any]:
        """Return the versions of the model, with what each was trained on and its Dice."""
        return {one.name: dict(one.info) for one in self.service.versions.all()}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Args:
            request: Values for the keys of :meth:`config`.
            datastore: The studies; those with a final label map count.

        Returns:
            Name of the new version and its facts: Dice before and after, whether it is served.

        Raises:
            HTTPException: 422 if there are too few label maps or an option is none.
        """
        items = [
            LabeledImage(Path(one["image"]).stem, Path(one["image"]), Path(one["label"]))
            for one in datastore.datalist()
        ]
        work = _work_folder(self.service.versions.folder)
        with client_errors():
            version = fine_tune(self.service.versions, items, self.options(request), work=work)
        result = {"version": version.name, **version.info}
        _logger.info("Training finished: %s", result)
        return result

    def options(self, request: Mapping[str, Any]) -> FineTuning:
        """Return what a request asks for.

        Raises:
            ValueError: If an option does not take its value.
        """
        chosen = {key: _first(value) for key, value in {**self.config(), **request}.items()}
        settings = self.service.settings
        return FineTuning(
            epochs=_number(chosen, "max_epochs", int),
            learning_rate=_number(chosen, "learning_rate", float),
            batch_size=_number(chosen, "batch_size", int),
            validation=_number(chosen, "val_split", float),
            freeze_statistics=chosen["freeze_statistics"],
            publish=chosen["publish"],
            seed=settings.seed,
            image_size=settings.image_size,
            roi_size=settings.roi_size,
            whole=self.whole,
            device=settings.device,
        )


def _work_folder(parent: Path) -> Path:
    """Return a new name for a training's files; what killed trainings left goes after a week."""
    for left in parent.glob("training-*"):
        if time.time() - left.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    return parent / f"training-{uuid.uuid4().hex[:12]}"


def _number(chosen: Mapping[str, Any], name: str, kind: Callable[[Any], _Number]) -> _Number:
    try:
        return kind(chosen[name])
    except (TypeError, ValueError):
        raise ValueError(f"The {name!r} must be a number. Got {chosen[name]!r}.") from None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value
