# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The whole story on synthetic data: train a source, meet other domains, adapt, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from grata_monai._checks import check_number
from grata_monai._files import write_text
from grata_monai.bundle.setup import check_image_size
from grata_monai.bundle.summary import summarize
from grata_monai.bundle.workflow import run_workflow
from grata_monai.data import SYNTHETIC_DOMAINS, write_synthetic_domain
from grata_monai.imaging import draw_contact_sheet

METHODS = {
    "source": "No Adapt",
    "ptbn": "PTBN",
    "tent": "TENT",
    "grata": "GraTa",
    "statistics_choice": "StatisticsChoice",
}
SHOWN = 4
TIE = 0.1  # Dice points; smaller differences are not called a win


@dataclass(frozen=True)
class Demo:
    """A small experiment on synthetic domains.

    Args:
        folder: Where data, source model and results go.
        source: Domain to train on.
        targets: Domains to adapt to.
        image_size: Side of the images, a multiple of 32.
        training_images: Images to train and validate the source model on.
        test_images: Images per domain to compare the methods on.
        epochs: Length of the training.
        seed: Seed of images, training and methods.
    """

    folder: Path
    source: str = "Synthetic_A"
    targets: tuple[str, ...] = ("Synthetic_B", "Synthetic_C", "Synthetic_E")
    image_size: int = 128
    training_images: int = 100
    test_images: int = 24
    epochs: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers before anything is written."""
        check_image_size(self.image_size)
        check_number("Demo", "epochs", self.epochs, minimum=1, integer=True)
        check_number("Demo", "seed", self.seed, minimum=0, integer=True)

    @property
    def weights(self) -> Path:
        """The source model."""
        return self.folder / "source" / "model.pt"

    @property
    def domains(self) -> tuple[str, ...]:
        """Source first, then the targets."""
        return (self.source, *self.targets)

    def run(self) -> pd.DataFrame:
        """Do everything; returns one row per domain and method with Dice in points."""
        self.write_data()
        self.train()
        table = self.compare()
        self.draw()
        return table

    def write_data(self) -> None:
        """Write training images of the source, and test images of all domains."""
        total = self.training_images + self.test_images * len(self.domains)
        with tqdm(total=total, desc="synthetic images", unit="image") as bar:
            write_synthetic_domain(
                self.folder / "training",
                self.source,
                images=self.training_images,
                size=self.image_size,
                seed=self.seed,
                progress=bar.update,
            )
            for domain in self.domains:
                write_synthetic_domain(
                    self.folder / "data",
                    domain,
                    images=self.test_images,
                    size=self.image_size,
                    seed=self.seed + 1,
                    progress=bar.update,
                )

    def train(self) -> None:
        """Train the source model with the bundle's recipe, shortened; always anew."""
        (self.weights.parent / "last.pt").unlink(missing_ok=True)
        run_workflow(
            "train",
            dataset_dir=self.folder / "training",
            domain=self.source,
            ckpt_dir=self.weights.parent,
            output_dir=self.weights.parent,
            image_size=self.image_size,
            epochs=self.epochs,
            learning_rate=0.01,
            momentum=0.9,
            val_interval=self.epochs,
            num_workers=0,
            seed=self.seed,
        )

    def compare(self) -> pd.DataFrame:
        """Segment every domain with every method and return their scores."""
        rows: list[dict[str, Any]] = []
        for domain in self.domains:
            for method, title in METHODS.items():
                workflow = run_workflow(
                    "inference",
                    dataset_dir=self.folder / "data",
                    domain=domain,
                    weights=self.weights,
                    output_dir=self.results(domain, method),
                    image_size=self.image_size,
                    method=method,
                    seed=self.seed,
                    overwrite=True,
                )
                (dice, *_) = summarize(workflow.evaluator)
                disc, cup = dice.values
                rows.append(
                    {"domain": domain, "method": title, "disc": disc, "cup": cup, "mean": dice.mean}
                )
        table = pd.DataFrame(rows)
        text = table.to_csv(index=False, float_format="%.2f", lineterminator="\n")
        write_text(self.folder / "table.csv", text)
        return table

    def results(self, domain: str, method: str) -> Path:
        """Return the folder of a run's results."""
        return self.folder / "results" / domain / method

    def draw(self) -> list[Path]:
        """Draw the same images without and with adaptation, a sheet per target."""
        return [self._draw_sheet(domain) for domain in self.targets]

    def _draw_sheet(self, domain: str) -> Path:
        reference = self.results(domain, "source") / "predictions"
        names = sorted(p.relative_to(reference) for p in reference.rglob("*_overlay.png"))[:SHOWN]
        rows = [
            [self.results(domain, method) / "predictions" / name for method in METHODS]
            for name in names
        ]
        sheet = self.folder / f"{domain}.png"
        draw_contact_sheet(rows, titles=list(METHODS.values()), path=sheet)
        return sheet


def verdict(table: pd.DataFrame, source: str) -> Sequence[str]:
    """Return plain sentences on the gap between domains and on which method won where.

    Args:
        table: What ``Demo.compare`` returns.
        source: Name of the source domain.
    """
    scores: dict[str, dict[str, float]] = {}
    for row in table.itertuples():
        scores.setdefault(str(row.domain), {})[str(row.method)] = float(str(row.mean))
    at_home = scores.pop(source)["No Adapt"]
    lines = [f"The source model scores {at_home:.1f} Dice points at home, without adaptation."]
    for domain, by_method in scores.items():
        start = by_method["No Adapt"]
        best = max(by_method.values())
        gains = {m: by_method[m] - by_method["PTBN"] for m in ("TENT", "GraTa")}
        winners = [m for m, mean in by_method.items() if best - mean < TIE]
        lines.append(
            f"{domain}: {start:.1f} without adaptation ({start - at_home:+.1f} to home); best: "
            f"{', '.join(winners)} with {best:.1f} ({best - start:+.1f}). What the gradient steps "
            f"add to the statistics alone (PTBN): "
            f"TENT {gains['TENT']:+.2f}, GraTa {gains['GraTa']:+.2f}."
        )
    return lines


def domain_titles(domains: Sequence[str]) -> list[str]:
    """Return what sets each domain apart."""
    return [f"{name}: {SYNTHETIC_DOMAINS[name].title}" for name in domains]
