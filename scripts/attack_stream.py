# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Mix malicious images into a stream, and measure what becomes of the clean ones (MedBN's threat).

    python scripts/attack_stream.py                            # synthetic, tiny
    python scripts/attack_stream.py --weights model.pt --data ROOT --domain Drishti_GS --size 256
    python scripts/attack_stream.py --methods tent grata --beta-factors 1 100 --csv rows.csv

Before every second clean image (--every) comes a malicious one: none, a crude one (noise, a sketch
of an X-ray, ...), or one crafted from another photograph (scripts/_malicious.py). Methods run as
they are, behind the stream guard (which learns nothing from what looks like no photograph), and in
the `guard` method (which takes back what changes a prediction much). The table has the mean Dice of
disc / cup on the clean images, and from how many malicious (and clean) ones nothing was learned.
--beta-factors multiplies the learning rate; methods without one are left out where it is not 1.
Without --data and --weights all is synthetic; the source is trained for a quarter of a minute.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import _malicious
import _runs
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from grata_monai.adapters import ADAPTERS, Adapter, build_adapter
from grata_monai.benchmark.scores import score
from grata_monai.benchmark.sources import load_source
from grata_monai.data import fundus_datalist, write_synthetic_domain
from grata_monai.inferers import AdaptiveInferer, StreamGuard
from grata_monai.networks.weights import source_network
from grata_monai.transforms import fundus_preprocessing

METHODS = ["source", "ptbn", "medbn", "tent", "dua", "vptta", "sar", "grata", "cotta"]
WITHOUT_STATE = ("source", "ptbn", "medbn")  # an update of theirs cannot be taken back
ATTACKS = ("none", "crude", "crafted")
PROTECTIONS = ("none", "stream guard", "guard")
Labelled = tuple[Tensor, Tensor]
CAVEAT = (
    "A crafted image looks genuine, and the stream guard lets it pass; the `guard` method takes "
    "back only what visibly changes the prediction of the image at hand, and small steps pass it."
)


@dataclass(frozen=True)
class Row:
    """A stream that has been adapted to."""

    method: str
    beta_factor: float
    protection: str
    attack: str
    clean: int = 0
    malicious: int = 0
    dice_disc: float = 0.0
    dice_cup: float = 0.0
    clean_stopped: int = 0
    malicious_stopped: int = 0
    seconds: float = 0.0


def planned(methods: list[str], factors: list[float]) -> Iterator[Row]:
    """Yield what there is to do, cheap methods first if so given."""
    for method in methods:
        for factor in factors:
            if factor != 1 and "beta" not in ADAPTERS[method].parameter_names():
                continue
            for protection in PROTECTIONS:
                if protection == "guard" and method in WITHOUT_STATE:
                    continue
                for attack in ATTACKS:
                    yield Row(method, factor, protection, attack)


def make(row: Row, seed: int) -> Adapter:
    """Return a row's method."""
    settings: dict[str, object] = {"seed": seed}
    if row.beta_factor != 1:
        settings["beta"] = build_adapter(row.method).beta * row.beta_factor
    if row.protection == "guard":
        return build_adapter("guard", adapter=row.method, **settings)
    return build_adapter(row.method, **settings)


def mixed(clean: list[Labelled], malicious: list[Tensor], every: int) -> Iterator[tuple]:
    """Yield images and their label, or None of a malicious one; one before so many clean ones."""
    waiting = iter(malicious)
    for number, (images, label) in enumerate(clean):
        if number % every == 0:
            yield from ((bad, None) for bad in islice(waiting, 1))
        yield images, label


def adapt(row: Row, stream: list[tuple], weights: Path, seed: int, bar: tqdm) -> Row:
    """Return a row with its numbers."""
    adapter = make(row, seed)
    network = load_source(weights, adapter, "cpu")
    guard = StreamGuard() if row.protection == "stream guard" else None
    inferer, dice, stopped = AdaptiveInferer(adapter, guard=guard), [], {True: 0, False: 0}
    start = time.perf_counter()
    with adapter.bound(network):
        for images, label in stream:
            logits = inferer(images, network)
            learned = adapter.trace_.get("updated", 0.0) and not inferer.event_
            stopped[label is None] += not learned
            if label is not None:
                values = score(logits, label).values
                dice.append((values["dice_disc"], values["dice_cup"]))
            bar.update()
    disc, cup = np.mean(dice, axis=0)
    return replace(
        row,
        clean=len(dice),
        malicious=len(stream) - len(dice),
        dice_disc=round(float(disc), 3),
        dice_cup=round(float(cup), 3),
        clean_stopped=stopped[False],
        malicious_stopped=stopped[True],
        seconds=round(time.perf_counter() - start, 1),
    )


def markdown(rows: list[Row]) -> Iterator[str]:
    """Yield a line per method and protection, with a column per attack."""
    yield "| method | β times | protection | no attack | crude | stopped | crafted | stopped |"
    yield "|---|---|---|---|---|---|---|---|"
    found = {(r.method, r.beta_factor, r.protection, r.attack): r for r in rows}
    for key in dict.fromkeys(key[:3] for key in found):
        cells = []
        for attack in ATTACKS:
            row = found.get((*key, attack))
            cells.append(f"{row.dice_disc:.2f} / {row.dice_cup:.2f}" if row else "")
            if attack != "none":
                stopped = f"{row.malicious_stopped} of {row.malicious}" if row else ""
                cells.append(f"{stopped} ({row.clean_stopped})" if row else "")
        yield f"| {key[0]} | {key[1]:g} | {key[2]} | " + " | ".join(cells) + " |"


def read(arguments: argparse.Namespace, folder: Path) -> list[Labelled]:
    """Return clean images and masks, evenly spread over the domain."""
    count = arguments.images + -(-arguments.images // arguments.every)
    root, domain = arguments.data, arguments.domain
    if root is None:
        root, domain = folder / "data", domain or "Synthetic_B"
        write_synthetic_domain(root, domain, images=count, size=arguments.size, seed=1)
    items = fundus_datalist(root, domain=domain)
    if len(items) < count or "label" not in items[0]:
        raise ValueError(
            f"{root} has {len(items)} images of this domain; {count} with masks are needed "
            "(clean ones and ones to be made malicious). Give fewer --images."
        )
    preprocess = fundus_preprocessing(size=arguments.size)
    found = []
    for step in np.linspace(0, len(items) - 1, count).round().astype(int):
        item = preprocess(dict(items[step]))
        found.append(tuple(torch.as_tensor(np.asarray(item[k]))[None] for k in ("image", "label")))
    return found


def streams(
    arguments: argparse.Namespace, images: list[Labelled], weights: Path
) -> dict[str, list[tuple]]:
    """Return the stream of every attack."""
    order = np.random.default_rng(arguments.seed).permutation(len(images))
    clean = [images[step] for step in sorted(order[: arguments.images])]
    photographs = [images[step] for step in order[arguments.images :]]
    network, crafted = source_network(weights).eval(), []
    for photograph, label in tqdm(photographs, "crafting", unit="im"):
        image = _malicious.craft(
            network, photograph, label, epsilon=arguments.epsilon / 255, steps=arguments.steps
        )
        crafted.append(image)
        with torch.no_grad():
            found = [_malicious.own_dice_loss(network, x, label) for x in (photograph, image)]
        tqdm.write("The source's Dice loss: {:.3f}, crafted {:.3f}".format(*found), sys.stderr)
    malicious = {
        "none": [],
        "crude": _malicious.crude_images([x for x, _ in photographs]),
        "crafted": crafted,
    }
    return {name: list(mixed(clean, bad, arguments.every)) for name, bad in malicious.items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="the source model")
    parser.add_argument("--data", type=Path, help="folder in the published layout, CSV or images")
    parser.add_argument("--domain", help="which, if the folder has several")
    parser.add_argument("--size", type=int, help="side of the input; default: 256, synthetic 64")
    parser.add_argument("--images", type=int, default=24, help="clean ones")
    parser.add_argument("--every", type=int, default=2, help="clean images per malicious one")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=sorted(ADAPTERS))
    parser.add_argument("--beta-factors", type=float, nargs="+", default=[1.0])
    parser.add_argument("--epsilon", type=float, default=16.0, help="of the crafted ones, in 1/255")
    parser.add_argument("--steps", type=int, default=10, help="of ascent per crafted image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="gets a row as soon as its stream is through")
    given = parser.parse_args()
    if (given.data is None) != (given.weights is None):
        parser.error("give --data and --weights, or neither for a synthetic study")
    if min(given.images, given.every, given.steps) < 1 or given.epsilon <= 0:
        parser.error("--images, --every, --steps and --epsilon must be positive")
    if given.csv and given.csv.exists():
        parser.error(f"{given.csv} exists; remove it or give another name")
    given.size = given.size or (64 if given.data is None else 256)
    return given


def main() -> None:
    given = parse()
    logging.getLogger("grata_monai").setLevel(logging.ERROR)
    torch.set_num_threads(given.threads)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        try:
            images = read(given, Path(name))
            weights = given.weights or _runs.train_source(Path(name), size=given.size)
            by_attack = streams(given, images, weights)
        except (OSError, ValueError) as error:
            raise SystemExit(f"error: {error}") from error
        plan = list(planned(given.methods, given.beta_factors))
        total = sum(len(by_attack[row.attack]) for row in plan)
        with tqdm(total=total, unit="im") as bar:
            for row in plan:
                bar.set_description(f"{row.method}, {row.protection}, {row.attack}")
                rows.append(adapt(row, by_attack[row.attack], weights, given.seed, bar))
                if given.csv:
                    with given.csv.open("a", newline="") as file:
                        writer = csv.DictWriter(file, list(asdict(row)))
                        if len(rows) == 1:
                            writer.writeheader()
                        writer.writerow(asdict(rows[-1]))
    print("\n".join(markdown(rows)))
    print("\nDice of disc / cup in points; in brackets: clean images that were stopped.", CAVEAT)


if __name__ == "__main__":
    main()
