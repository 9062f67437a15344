# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the stand-in for the annotation server says: ellipses, numbers, versions."""

from __future__ import annotations

import math

CENTER, DISC, CUP, REGION = (0.5, 0.35), 0.07, {"off": 0.030, "on": 0.045}, 0.3
"""Of the photograph: center (row, column) in shares of height and width, the rest of the width."""


def ellipse(center, radii, points=60):
    """Return [x, y] around a center (x, y)."""
    angles = [2 * math.pi * one / points for one in range(points)]
    return [
        [
            round(center[0] + radii[0] * math.cos(angle), 2),
            round(center[1] + radii[1] * math.sin(angle), 2),
        ]
        for angle in angles
    ]


def contours(size, kind):
    """Return the disc's and the cup's contour, "off" (without adaptation) or "on"."""
    width, height = size
    center = (CENTER[1] * width, CENTER[0] * height)
    disc = ellipse(center, (DISC * width, DISC * width * 1.1))
    return disc, ellipse(center, (CUP[kind] * width, CUP[kind] * width))


def result(size, params, version):
    """Return what MONAI Label sends beside the label map."""
    kind = "off" if params["life_cycle"] == "off" else "on"
    width, height = size
    disc, cup = contours(size, kind)
    side = int(REGION * width)
    top, left = int(CENTER[0] * height - side / 2), int(CENTER[1] * width - side / 2)
    outlines = [
        {"label": "optic disc", "contours": [disc]},
        {"label": "optic cup", "contours": [cup]},
    ]
    return {
        "annotations": [{"annotations": outlines}],
        "size": [height, width],
        "region": {"top": top, "left": left, "height": side, "width": side},
        "vcdr": round(CUP[kind] / DISC / 1.1, 4),
        "confidence": 0.91 if kind == "on" else 0.85,
        "location_confidence": 0.77,
        "disc_center": [CENTER[0] * height, CENTER[1] * width],
        "method": params["method"] if kind == "on" else "source",
        "life_cycle": params["life_cycle"],
        "beta": params["beta"],
        "model_version": version,
        "images_seen": 1 if kind == "on" else 0,
        "cosine": 0.4321 if kind == "on" else None,
        "learning_rate": 3.2e-5 if kind == "on" else None,
        "seconds": 2.345,
        "note": "",
    }


def versions(current):
    """Return the versions of the model."""
    return {
        "current": current,
        "versions": [
            {"name": "v0001", "created": "2026-01-05T09:30:00+00:00", "kind": "imported",
             "parent": None, "images": None, "dice_before": None, "dice_after": None,
             "note": "Trained on REFUGE"},
            {"name": "v0002", "created": "2026-02-07T14:05:00+00:00", "kind": "fine_tuned",
             "parent": "v0001", "images": 24, "dice_before": 0.8123, "dice_after": 0.8534,
             "note": ""},
        ],
    }  # fmt: skip


def info():
    """Return what the server offers."""
    config = {
        "method": ["grata", "tent", "ptbn"],
        "life_cycle": ["episodic", "online", "off"],
        "beta": None,
        "device": ["cpu"],
        "result_extension": [".png"],
    }
    models = {
        name: {"labels": {"optic disc": 1, "optic cup": 2}, "config": config}
        for name in ("fundus", "fundus_roi")
    }
    trainers = {"fundus": {"labels": {}, "config": {"max_epochs": 7}}}
    strategies = {"hardest_first": {}, "random": {}}
    return {
        "name": "GraTa fundus",
        "models": models,
        "trainers": trainers,
        "strategies": strategies,
    }
