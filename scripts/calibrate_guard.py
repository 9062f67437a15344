# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Count what the stream guard finds, among images that are fundus photographs and others.

    python scripts/calibrate_guard.py --weights model.pt --data ROOT --size 256
    python scripts/calibrate_guard.py --weights model.pt --data ROOT --shares 0.8 0.9 1.0

ROOT is a folder in the published layout; all its domains are read (--domains for some). Without it
the images are synthetic ones. Every group of images is a row: how many, how many had a fault and
which, and how far they are from the source, as a share of the distance of noise (least, median,
most). Below, for each share: how many genuine, plausibly changed, spoiled and foreign images it
finds foreign. Last: seconds per image. The weights' own image size is the one to give.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import _pictures as pictures
import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grata_monai.data import SYNTHETIC_DOMAINS, fundus_datalist, paint_fundus
from grata_monai.inferers import StreamGuard
from grata_monai.networks.weights import source_network
from grata_monai.state.spread_distance import noise_spread_distance, spread_distance
from grata_monai.transforms import fundus_preprocessing

KINDS = ("genuine", "changed", "spoiled", "foreign", "whole", "synthetic")


def to_images(picture: np.ndarray) -> Tensor:
    """Return a picture as the network gets it: 1x3xSxS, from 0 to 1."""
    values = torch.from_numpy(np.ascontiguousarray(picture, np.float32))
    values = values.permute(2, 0, 1)[None]
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def evenly(items: list, count: int) -> list:
    """Return so many items, evenly spread."""
    steps = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[step] for step in steps]


def painted(name: str, count: int, size: int) -> list[np.ndarray]:
    return [paint_fundus(name, seed=1000 + n, size=size)[0] / 255 for n in range(count)]


def read(paths: list, size: int) -> list[np.ndarray]:
    preprocess = fundus_preprocessing(size=size, keys=("image",))
    images = (preprocess({"image": path})["image"] for path in paths)
    return [np.asarray(image).transpose(1, 2, 0) for image in images]


def genuine(arguments: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Return the images of every domain, by its name."""
    size, limit = arguments.size, arguments.limit
    if arguments.data is None:
        names = arguments.domains or sorted(SYNTHETIC_DOMAINS)
        return {name: painted(name, min(limit, 12), size) for name in names}
    names = arguments.domains or sorted(
        {path.stem.rsplit("_", 1)[0] for path in arguments.data.glob("*_t*.csv")}
    )
    items = {name: fundus_datalist(arguments.data, domain=name) for name in names}
    return {n: read([i["image"] for i in evenly(x, limit)], size) for n, x in items.items()}


def groups(arguments: argparse.Namespace) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield kind, group and picture."""
    domains = genuine(arguments)
    for name, domain in domains.items():
        yield from (("genuine", name, picture) for picture in domain)
    some = [picture for domain in domains.values() for picture in evenly(domain, arguments.changed)]
    for picture in some:
        yield from (("changed", *named) for named in pictures.plausible(picture))
    for picture in some:
        yield from (("spoiled", *named) for named in pictures.spoiled(picture))
    for name, picture in pictures.foreign(arguments.size):
        yield "foreign", name, picture
    for picture in read([str(p) for p in arguments.whole], arguments.size):
        yield "whole", "whole photographs", picture
    if arguments.data is not None:
        for name in sorted(SYNTHETIC_DOMAINS):
            for picture in painted(name, 4, arguments.size):
                yield "synthetic", name, picture


def print_groups(rows: list[tuple[str, str, str, float]]) -> None:
    by_group = defaultdict(list)
    for kind, group, fault, share in rows:
        by_group[kind, group].append((fault, share))
    print(
        "| kind | group | images | faults | least | median | most |\n|---|---|---|---|---|---|---|"
    )
    for (kind, group), members in by_group.items():
        faults = Counter(fault for fault, _ in members if fault)
        found = ", ".join(f"{count} {fault}" for fault, count in faults.items()) or "none"
        shares = [share for _, share in members]
        numbers = (min(shares), statistics.median(shares), max(shares))
        print(f"| {kind} | {group} | {len(members)} | {found} |", end="")
        print("".join(f" {number:.2f} |" for number in numbers))


def print_shares(rows: list[tuple[str, str, str, float]], shares: list[float]) -> None:
    present = [kind for kind in KINDS if any(row[0] == kind for row in rows)]
    print("\n| share | " + " | ".join(present) + " |\n|---|" + "---|" * len(present))
    for share in shares:
        cells = []
        for kind in present:
            members = [distance for k, _, _, distance in rows if k == kind]
            cells.append(f"{sum(distance > share for distance in members)} of {len(members)}")
        print(f"| {share:g} | " + " | ".join(cells) + " |")


@torch.no_grad()
def seconds(network: nn.Module, images: Tensor, guard: StreamGuard, repeats: int = 10) -> str:
    def median_of(call) -> float:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    inspection = median_of(lambda: guard.inspect(images, network))
    return f"{inspection:.3f} s per image; one prediction: {median_of(lambda: network(images)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True, help="the source model")
    parser.add_argument("--data", type=Path, help="folder in the published layout")
    parser.add_argument("--domains", nargs="+", help="default: all")
    parser.add_argument("--whole", type=Path, nargs="+", default=[], help="whole photographs")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--limit", type=int, default=1000, help="images per domain, evenly spread")
    parser.add_argument("--changed", type=int, default=6, help="images per domain to change")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.8, 0.85, 0.9, 0.95, 1.0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, guard = source_network(arguments.weights).eval(), StreamGuard()
    others = StreamGuard(foreign_share=None)  # the last check is made from the distance, once
    noise = noise_spread_distance(network, torch.zeros(1, 3, arguments.size, arguments.size))
    if noise is None:
        parser.error("the source has no batch normalization with running statistics to compare")
    print(f"Distance of noise from the source: {noise:.3f}\n")
    rows = []
    for kind, group, picture in groups(arguments):
        images = to_images(picture)
        share = (spread_distance(network, images) or 0.0) / noise
        fault = others.inspect(images, network)
        found = fault.kind if fault else "foreign" * (share > guard.foreign_share)
        rows.append((kind, group, found, share))
    print_groups(rows)
    print_shares(rows, arguments.shares)
    print(f"\nInspection: {seconds(network, images, guard)}")


if __name__ == "__main__":
    main()
