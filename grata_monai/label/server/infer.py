# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inference tasks: segment a photograph, or a region of one, with live adaptation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from grata_monai.label.label_files import LABEL_EXTENSIONS, write_label_file
from grata_monai.label.request import LIFE_CYCLES, SERVED_METHODS
from grata_monai.label.results import result_params
from grata_monai.label.segmentation import SEGMENTS
from grata_monai.label.server.errors import as_client_error
from grata_monai.label.service import SegmentationService


class FundusInfer(InferTask):
    """Segments optic disc and cup.

    Args:
        service: What does it.
        whole: Whether images are whole photographs, in which the disc has to be found.
    """

    def __init__(self, service: SegmentationService, *, whole: bool) -> None:
        where = "whole photographs: finds the disc first" if whole else "regions around the disc"
        settings = service.settings
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=dict(SEGMENTS),
            dimension=2,
            description=f"Optic disc and cup with test-time adaptation, in {where}",
            config={
                "method": _first(settings.method, SERVED_METHODS),
                "life_cycle": _first(settings.life_cycle, LIFE_CYCLES),
                "beta": "",  # clients send back what they were offered: the method's own
                "result_extension": list(LABEL_EXTENSIONS),
            },
        )
        self.service = service
        self.whole = whole

    def is_valid(self) -> bool:
        """Return True: a model that is missing is reported by each request."""
        return True

    def info(self) -> dict[str, Any]:
        """Return what clients show, with the current version of the model."""
        return {**super().info(), "version": self._version()}

    def get_path(self, validate: bool = True) -> str | None:
        """Return the weights that are served, to be downloaded; never to be written to."""
        try:
            return str(self.service.versions.current().weights) if validate else None
        except FileNotFoundError:
            return None

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment ``request["image"]``, a path.

        Returns:
            A label map in a temporary file, and the numbers of ``result_params``.

        Raises:
            FileNotFoundError: If the image or the model is missing.
            ValueError: If the image cannot be read, or an option is none.
        """
        wanted = self.service.settings.request(request)
        found, version = self.service.segment(request["image"], wanted, whole=self.whole)
        handle, path = tempfile.mkstemp(suffix=wanted.extension)
        os.close(handle)
        write_label_file(found.labels, path)
        params = result_params(found, version, wanted)
        latencies = {"infer": params["seconds"], "total": params["seconds"]}
        return path, {"label_names": self.labels, "latencies": latencies, **params}

    def _version(self) -> str | None:
        try:
            return self.service.versions.current().name
        except (FileNotFoundError, ValueError):
            return None


class FundusBatchInfer(BatchInferTask):
    """MONAI Label's batch inference, which one broken image does not stop."""

    def get_images(self, request: Mapping[str, Any], datastore: Datastore) -> list[str]:
        """Return the studies that a request means, and nothing that is no study."""
        known = set(datastore.list_images())
        return [one for one in super().get_images(request, datastore) if one in known]

    def __call__(
        self, request: Mapping[str, Any], datastore: Datastore, infer: Callable[..., Any]
    ) -> Any:
        """Segment many studies; those that fail get ``{"error": ...}`` in place of a result."""

        def guarded(one: dict[str, Any], store: Datastore) -> Any:
            try:
                return infer(one, store)
            except Exception as error:
                answer = as_client_error(error) or error
                return {"error": str(getattr(answer, "detail", answer))}

        several = torch.cuda.device_count() > 0  # without a GPU MONAI Label divides by their number
        wanted = {**request, "multi_gpu": bool(request.get("multi_gpu", True)) and several}
        return super().__call__(wanted, datastore, guarded)


def _first(default: str, choices: Any) -> list[str]:
    return [default, *(choice for choice in choices if choice != default)]
