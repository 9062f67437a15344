# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Measure what the collapse alarm looks at, on genuine images, with the source and with methods.

    python scripts/calibrate_alarm.py --weights model.pt --data ROOT --domains NAME --size 256
    python scripts/calibrate_alarm.py --weights model.pt --methods tent --beta-factors 100 1000

A row per method and learning rate (in times of its own), each over one stream: the mean entropy of
a prediction in nats (least and median), the share of disc and cup in its pixels (least and most),
and for how many images the alarm speaks, for what. Images as for calibrate_guard.py.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from calibrate_guard import genuine, to_images
from torch import Tensor
from tqdm import tqdm

from grata_monai.adapters import ADAPTERS, build_adapter
from grata_monai.benchmark.sources import load_source
from grata_monai.functional.entropy import binary_entropy
from grata_monai.inferers import CollapseAlarm


def predictions(
    method: str, factor: float, weights: Path, images: list[Tensor]
) -> Iterator[Tensor]:
    """Yield the logits of a stream."""
    settings = {"beta": build_adapter(method).beta * factor} if factor != 1 else {}
    adapter = build_adapter(method, **settings)
    network = load_source(weights, adapter, "cpu")
    with adapter.bound(network):
        yield from map(adapter.adapt, images)


def line(method: str, factor: float, found: list[Tensor]) -> str:
    """Return a row of the table."""
    entropies = [float(binary_entropy(logits).mean()) for logits in found]
    shares = torch.stack([(logits > 0).float().mean(dim=(0, 2, 3)) for logits in found])
    reasons = Counter(filter(None, map(CollapseAlarm().reason, found)))
    alarms = ", ".join(f"{count}: {reason}" for reason, count in reasons.items()) or "none"
    disc, cup = (f"{shares[:, c].min():.2%} to {shares[:, c].max():.2%}" for c in (0, 1))
    return (
        f"| {method} | {factor:g} | {len(found)} | {min(entropies):.2g} | "
        f"{statistics.median(entropies):.2g} | {disc} | {cup} | {alarms} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="the source model")
    parser.add_argument("--data", type=Path, help="folder in the published layout")
    parser.add_argument("--domains", nargs="+", help="default: all")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--limit", type=int, default=1000, help="images per domain, evenly spread")
    parser.add_argument("--methods", nargs="+", default=["source", "tent", "grata"])
    parser.add_argument("--beta-factors", type=float, nargs="+", default=[1.0, 100.0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    if unknown := set(given.methods) - set(ADAPTERS):
        parser.error(f"no such method: {', '.join(unknown)}; there are {', '.join(ADAPTERS)}")
    torch.set_num_threads(given.threads)
    images = [to_images(picture) for domain in genuine(given).values() for picture in domain]
    print("| method | β times | images | entropy, least | median | disc | cup | alarms |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for method in given.methods:
        for factor in given.beta_factors:
            if factor == 1 or "beta" in ADAPTERS[method].parameter_names():
                stream = predictions(method, factor, given.weights, images)
                found = list(tqdm(stream, f"{method}, β {factor:g}", len(images), leave=False))
                print(line(method, factor, found), flush=True)


if __name__ == "__main__":
    main()
