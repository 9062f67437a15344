# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Adapt to one image, score it, keep its pictures: one row."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grata_monai.adapters import Adapter
from grata_monai.benchmark.empirical_gradient import empirical_gradient_cosines
from grata_monai.benchmark.grid import Cell
from grata_monai.benchmark.memory import PeakMemory
from grata_monai.benchmark.run_folder import Row, error_line
from grata_monai.benchmark.scores import score
from grata_monai.benchmark.streams import StreamImage
from grata_monai.imaging import write_png
from grata_monai.transforms import fundus_preprocessing, label_map

_logger = logging.getLogger(__name__)


class _KeepingError(RuntimeError):
    """The run's folder cannot be written; the cause says why."""


class _GoneError(RuntimeError):
    """An image that the plan has found is not there."""


class ImageWorker:
    """Makes the rows of a cell.

    Args:
        adapter: The method, bound to the source model.
        run: The run's folder.
        cell: The cell.
        adapter_id: The method's id.
        image_size: Side of the network's input in pixels.
        roi_size: Side of the region around the disc in pixels of the photograph.
        device: Where the network is.
        pictures: Whether to keep pictures and predictions.
        diagnostics: Whether to compare gradients with those of the labels.
    """

    def __init__(
        self,
        *,
        adapter: Adapter,
        run: Path,
        cell: Cell,
        adapter_id: str,
        image_size: int,
        roi_size: int,
        device: torch.device,
        pictures: bool,
        diagnostics: bool,
    ) -> None:
        self.adapter = adapter
        self.run_folder = run
        self.cell = cell
        self.adapter_id = adapter_id
        self.device = device
        self.pictures = pictures
        self.diagnostics = diagnostics
        self.preprocessing = fundus_preprocessing(size=image_size, roi_size=roi_size)
        self.memory = PeakMemory(device)

    def run(self, image: StreamImage, *, number: int, position: int) -> Row:
        """Return the row of an image; if something fails, a row that says what.

        That the run's folder cannot be written, or that the data are gone (a disk that was
        unmounted, a node without them), is no fault of the image and no row, so that it is tried
        again.

        Args:
            image: The image.
            number: Its round.
            position: Its place in the stream.

        Raises:
            RuntimeError: If the run's folder cannot be written, or a file is gone.
        """
        row = self._empty_row(image, number, position)
        try:
            _check_there(image)
            item = self.preprocessing(image.item)
            images = _tensor(item["image"]).to(self.device)
            label = _tensor(item["label"])
            if self.pictures:
                self._keep_pictures(image, images, label, row)
            if self.diagnostics:
                row |= self._diagnose(images, label)
            logits = self._adapt(images, row)
            if not bool(torch.isfinite(logits).all()):
                raise FloatingPointError("The logits are not finite.")
            scores = score(logits, label)
            row |= scores.values
            if self.pictures:
                self._keep_prediction(image, scores.mask, number, row)
        except (_KeepingError, _GoneError):
            raise
        except Exception as error:
            row["error"] = error_line(error)
        return row

    def _diagnose(self, images: Tensor, label: Tensor) -> Row:
        """Return what the diagnostics say; should they fail, the stream goes on all the same."""
        try:
            found = empirical_gradient_cosines(self.adapter, images, label)
        except Exception as error:
            _logger.warning("%s: no diagnostics: %s", self.cell.id, error_line(error))
            return {}
        return {f"diag_{name}": value for name, value in found.items()}

    def _adapt(self, images: Tensor, row: Row) -> Tensor:
        self.memory.start()
        start = self._clock()
        logits = self.adapter.adapt(images)
        row["seconds"] = self._clock() - start
        row["memory_mb"] = self.memory.read()
        row |= {f"trace_{name}": float(value) for name, value in self.adapter.trace_.items()}
        return logits

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _empty_row(self, image: StreamImage, number: int, position: int) -> Row:
        cell = self.cell
        row: dict[str, Any] = {
            "cell": cell.id,
            "source": cell.source,
            "stream": cell.stream,
            "target": image.domain,
            "method": cell.method,
            "adapter": self.adapter_id,
            "seed": cell.seed,
            "protocol": cell.protocol,
            "round": number,
            "position": position,
            "image": image.name,
            "picture": "",
            "truth": "",
            "prediction": "",
        }
        scores = ("dice", "assd", "asd")
        numbers = [f"{name}_{part}" for name in scores for part in ("disc", "cup")]
        numbers += ["vcdr", "vcdr_true", "vcdr_error", "seconds", "memory_mb"]
        return row | dict.fromkeys(numbers, math.nan) | {"error": ""}

    def _keep_pictures(self, image: StreamImage, images: Tensor, label: Tensor, row: Row) -> None:
        """Write the network's input and the mask, once for all cells."""
        pixels = (images[0].cpu() * 255.0).round().clamp(0, 255).to(torch.uint8)
        files = {
            "picture": (f"pictures/{image.domain}/{image.stem}.png", pixels.permute(1, 2, 0)),
            "truth": (f"truth/{image.domain}/{image.stem}.png", label_map(label[0])),
        }
        for column, (name, array) in files.items():
            if not (self.run_folder / name).exists():
                self._write(np.ascontiguousarray(array), name)
            row[column] = name

    def _keep_prediction(self, image: StreamImage, mask: Tensor, number: int, row: Row) -> None:
        suffix = "" if number == 1 else f"__round{number}"
        folder = f"cells/{self.cell.id}/predictions/{image.domain}"
        row["prediction"] = f"{folder}/{image.stem}{suffix}.png"
        self._write(label_map(mask), row["prediction"])

    def _write(self, array: NDArray[np.uint8], name: str) -> None:
        try:
            write_png(array, self.run_folder / name)
        except OSError as error:
            raise _KeepingError(name) from error


def _check_there(image: StreamImage) -> None:
    for key in ("image", "label"):
        path = image.item[key]
        if not os.path.exists(path):
            raise _GoneError(
                f"{path} was there when the run was planned and is gone. Bring it back, then run "
                "the same command again."
            )


def _tensor(image: Tensor) -> Tensor:
    """Return a preprocessed image as a plain batch of one."""
    plain = image.as_tensor() if hasattr(image, "as_tensor") else image
    return plain.detach().clone()[None]
