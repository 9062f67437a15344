# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the folder of a benchmark with made-up predictions and their true scores."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

METHODS = (
    ("No Adapt", "source", {}),
    ("PTBN", "ptbn", {}),
    ("TENT", "tent", {}),
    ("GraTa", "grata", {"auxiliary": "ent", "pseudo": "con"}),
)
SKILL = {"No Adapt": 0.22, "PTBN": 0.14, "TENT": 0.13, "GraTa": 0.07}
"""How far a method's outline is off, as a share of the disc's radius."""


def number(*parts):
    """Return a number in [0, 1) that depends on nothing but its arguments."""
    return zlib.crc32(repr(parts).encode()) / 2**32


def ellipse(size, center, radii):
    rows, columns = np.mgrid[:size, :size] + 0.5
    return ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 <= 1


def label_map(size, domain, stem, miss=0.0, *key):
    """Return 0 background, 1 rim, 2 cup; ``miss`` moves and shrinks both."""
    radius = size * (0.25 + 0.08 * number(domain, stem, "radius"))
    shift = [(number(*key, stem, axis) - 0.5) * 2 * miss * radius for axis in "yx"]
    place = [0.5 + 0.06 * (number(domain, stem, axis) - 0.5) for axis in "yx"]
    center = [size * place[0] + shift[0], size * place[1] + shift[1]]
    ratio = 0.45 + 0.25 * number(domain, stem, "cup")
    labels = ellipse(size, center, (radius, radius * 0.94)).astype(np.uint8)
    cup = radius * ratio * (1 - 1.5 * miss * number(*key, stem, "cup"))
    return labels + ellipse(size, center, (cup, cup)).astype(np.uint8)


def picture(size, domain, stem):
    tint = np.array([0.75, 0.38, 0.18]) * (0.7 + 0.4 * number(domain, "tint"))
    image = np.ones((size, size, 3)) * tint
    labels = label_map(size, domain, stem)
    image[labels >= 1] = np.array([0.92, 0.66, 0.36])
    image[labels == 2] = np.array([0.98, 0.86, 0.6])
    noise = np.random.default_rng(zlib.crc32(stem.encode())).normal(0, 0.02, image.shape)
    return (np.clip(image + noise, 0, 1) * 255).astype(np.uint8)


def dice(first, second):
    total = first.sum() + second.sum()
    return 100.0 if total == 0 else 200.0 * float((first & second).sum()) / float(total)


def ratio(labels):
    disc, cup = (np.flatnonzero((labels >= level).any(axis=1)) for level in (1, 2))
    if not len(disc):
        return float("nan")
    return (cup[-1] - cup[0] + 1) / (disc[-1] - disc[0] + 1) if len(cup) else 0.0


def save(path: Path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def image_row(run, cell, target, stem, size, pictures):
    """Write one prediction; return its row without the cell's columns."""
    method = cell["method"]
    truth = label_map(size, target, stem)
    key = (cell["source"], method, cell["seed"])
    miss = SKILL.get(method, 0.1) * (0.4 + 1.2 * number(*key, stem))
    predicted = label_map(size, target, stem, miss, *key)
    paths = {
        "picture": f"pictures/{target}/{stem}.png",
        "truth": f"truth/{target}/{stem}.png",
        "prediction": f"cells/{cell['id']}/predictions/{target}/{stem}.png",
    }
    if pictures:
        save(run / paths["prediction"], predicted)
        if not (run / paths["picture"]).exists():
            save(run / paths["picture"], picture(size, target, stem))
            save(run / paths["truth"], truth)
    vcdr, vcdr_true = ratio(predicted), ratio(truth)
    return {
        "target": target,
        "image": f"{target}/image/{stem}.png",
        **(paths if pictures else dict.fromkeys(paths, "")),
        "dice_disc": dice(predicted >= 1, truth >= 1),
        "dice_cup": dice(predicted == 2, truth == 2),
        "assd_disc": miss * 10,
        "assd_cup": miss * 14,
        "asd_disc": miss * 9,
        "asd_cup": miss * 12,
        "vcdr": vcdr,
        "vcdr_true": vcdr_true,
        "vcdr_error": abs(vcdr - vcdr_true),
        "seconds": 0.1 + 0.2 * number(method),
        "memory_mb": 500.0 + 100 * number(method),
        "error": "",
        "trace_cosine": number(*key, stem, "cos") if method == "GraTa" else np.nan,
        "trace_learning_rate": 1e-4 * number(*key, stem, "cos") if method == "GraTa" else np.nan,
    }


def plan_cells(sources, targets, methods, seeds, protocols):
    for protocol in protocols:
        for source in sources:
            others = [target for target in targets if target != source]
            streams = [[t] for t in others] if protocol in {"grata", "episodic"} else [others]
            for stream in streams:
                for name, adapter, _ in methods:
                    for seed in seeds:
                        label = "+".join(stream)
                        safe = name.replace(" ", "_")
                        yield {
                            "id": f"{protocol}__{source}__{label}__{safe}__s{seed}",
                            "source": source,
                            "stream": label,
                            "targets": stream,
                            "method": name,
                            "adapter": adapter,
                            "seed": seed,
                            "protocol": protocol,
                        }


def write_run(
    run: Path,
    *,
    sources=("REFUGE", "ORIGA"),
    targets=("REFUGE", "ORIGA", "Drishti_GS"),
    methods=METHODS,
    seeds=(0, 1),
    protocols=("grata",),
    rounds=1,
    images=5,
    size=48,
    pictures=True,
    preset="smoke",
    title="Synthetic run",
    skip_cells=0,
):
    """Write RUN as ``grata-monai benchmark run`` leaves it; return its folder.

    The last ``skip_cells`` cells are planned but not run.
    """
    cells = list(plan_cells(sources, targets, methods, seeds, protocols))
    plan = {
        "name": preset,
        "title": title,
        "dataset_dir": "/nowhere",
        "sources": {
            name: {"weights": f"/nowhere/{name}.pt", "sha256": "0" * 64} for name in sources
        },
        "targets": list(targets),
        "methods": [{"name": n, "method": a, "options": dict(o)} for n, a, o in methods],
        "seeds": list(seeds),
        "protocols": list(protocols),
        "rounds": rounds,
        "image_size": size,
        "roi_size": 800,
        "device": "cpu",
        "versions": {"grata_monai": "0.1.0", "torch": "2.8.0"},
        "cells": [{k: v for k, v in cell.items() if k != "adapter"} for cell in cells],
    }
    run.mkdir(parents=True, exist_ok=True)
    (run / "plan.json").write_text(json.dumps(plan, indent=1))
    tables = []
    for cell in cells[: max(0, len(cells) - skip_cells)]:
        tables.append(cell_rows(run, cell, rounds, images, size, pictures))
        (run / "cells" / cell["id"]).mkdir(parents=True, exist_ok=True)
        tables[-1].to_csv(run / "cells" / cell["id"] / "rows.csv", index=False)
    if tables:
        pd.concat(tables).to_csv(run / "rows.csv", index=False)
    (run / "failures.csv").write_text("cell,image,error\n")
    return run


def cell_rows(run, cell, rounds, images, size, pictures):
    rows = []
    for round_number in range(1, rounds + 1):
        for target in cell["targets"]:
            for index in range(images):
                row = image_row(run, cell, target, f"{target}-{index:03d}", size, pictures)
                head = {
                    "cell": cell["id"],
                    "source": cell["source"],
                    "stream": cell["stream"],
                    "method": cell["method"],
                    "adapter": cell["adapter"],
                    "seed": cell["seed"],
                    "protocol": cell["protocol"],
                    "round": round_number,
                    "position": len(rows),
                }
                rows.append({**head, **row})
    return pd.DataFrame(rows)
