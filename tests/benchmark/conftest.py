# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Two small domains, a tiny source network in place of the real one, and tables of rows."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from grata_monai.adapters.check_tools import tiny_network
from grata_monai.benchmark import cells
from grata_monai.benchmark.grid import Grid, Method, make_cell
from grata_monai.benchmark.plan import Plan
from grata_monai.benchmark.run_folder import COLUMNS, TEXT_COLUMNS
from grata_monai.benchmark.streams import read_domain
from grata_monai.data import write_synthetic_domain
from grata_monai.networks import ResUNet34
from grata_monai.training import save_source_weights

SIZE = 64
DOMAINS = ("Synthetic_A", "Synthetic_B")
METHODS = (
    Method("No Adapt", "source"),
    Method("PTBN", "ptbn"),
    Method("TENT", "tent", {"beta": 0.01}),
)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """The authors' layout with two domains of 4 and 3 images."""
    folder = tmp_path_factory.mktemp("fundus")
    for name, images in zip(DOMAINS, (4, 3), strict=True):
        write_synthetic_domain(folder, name, images=images, size=SIZE, seed=0)
    return folder


@pytest.fixture(scope="session")
def domains(dataset):
    return {name: read_domain(dataset, name) for name in DOMAINS}


@pytest.fixture
def tiny(monkeypatch):
    """Put a network of a few hundred parameters in the place of every source model."""
    monkeypatch.setattr(cells, "load_source", lambda weights, adapter, device: tiny_network())


@pytest.fixture
def plan_of(tiny, dataset, domains):
    """Return a plan for the tiny network."""

    def plan_of(methods=METHODS, **settings):
        settings = {"targets": DOMAINS, "sources": {"Elsewhere": "none.pt"}} | settings
        grid = Grid(methods=tuple(methods), image_size=32, **settings)
        hashes = dict.fromkeys(grid.sources, "0" * 64)
        return Plan(grid, dataset, "cpu", hashes, domains)

    return plan_of


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A source model with random weights and plausible statistics."""
    torch.manual_seed(0)
    network = ResUNet34().train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.rand(2, 3, SIZE, SIZE))
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    save_source_weights(network, path)
    return path


@pytest.fixture
def table_of():
    """Return rows as read_rows gives them, from a few columns of numbers."""

    def table_of(entries):
        rows = []
        for entry in entries:
            defaults = {name: "" if name in TEXT_COLUMNS else float("nan") for name in COLUMNS}
            row = defaults | {
                "source": "S",
                "target": "T",
                "protocol": "grata",
                "round": 1,
                "seed": 0,
                "dice_disc": entry.get("dice", 50.0),
                "dice_cup": entry.get("dice", 50.0),
            }
            row |= entry
            row.setdefault("dice", (row["dice_disc"] + row["dice_cup"]) / 2)
            row["stream"] = row["stream"] or row["target"]
            names = {"No Adapt": "source", "PTBN": "ptbn"}
            row["adapter"] = names.get(row["method"], row["method"].lower())
            row["cell"] = make_cell(
                row["protocol"], row["source"], [row["stream"]], row["method"], row["seed"]
            ).id
            rows.append(row)
        return pd.DataFrame(rows)

    return table_of
