# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a request gets back beside the label map, as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from grata_monai.label.contours import contours
from grata_monai.label.request import SegmentationRequest
from grata_monai.label.segmentation import Segmentation
from grata_monai.label.versions import ModelVersion


def result_params(
    segmentation: Segmentation, version: ModelVersion, request: SegmentationRequest
) -> dict[str, Any]:
    """Return the numbers and polygons of a result; numbers that are not finite become None.

    Args:
        segmentation: The result.
        version: Which model gave it.
        request: What was asked for.

    Returns:
        ``annotations`` (polygons in the form of MONAI Label's ``PolygonWriter``), ``size``
        (rows, columns) and ``region`` of the photograph, ``vcdr``, ``confidence`` and
        ``confidences``, ``disc_center``, ``location_confidence``, ``note``, ``method``,
        ``life_cycle``, ``beta``, ``model_version``, ``images_seen``, ``cosine``,
        ``learning_rate``, ``adaptation`` (all numbers of the method), ``seconds``.
    """
    location = segmentation.location
    trace = {name: finite_or_none(value) for name, value in segmentation.trace.items()}
    notes = ("" if location is None else location.note, segmentation.event)
    adapted = request.life_cycle != "off"
    return {
        "annotations": [{"annotations": contours(segmentation.labels)}],
        "size": list(segmentation.labels.shape),
        "region": asdict(segmentation.window),
        "vcdr": segmentation.vcdr,
        "confidence": segmentation.confidence,
        "confidences": segmentation.confidences,
        "disc_center": None if location is None else list(location.center),
        "location_confidence": None if location is None else location.confidence,
        "note": "; ".join(filter(None, notes)),
        "method": request.method if adapted else "source",
        "life_cycle": request.life_cycle,
        "beta": request.beta,
        "model_version": version.name,
        "images_seen": segmentation.images_seen if adapted else 0,
        "cosine": trace.get("cosine"),
        "learning_rate": trace.get("learning_rate"),
        "adaptation": trace,
        "seconds": round(segmentation.seconds, 3),
    }


def finite_or_none(value: float) -> float | None:
    """Return a number as JSON knows it."""
    return float(value) if math.isfinite(value) else None
