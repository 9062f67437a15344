# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Three consecutive GraTa steps against numbers of the authors' own code on real images.

Needs the folder of real data (checkpoint, images and numbers); skipped without it.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from grata_monai.adapters import GraTa
from grata_monai.networks import native_name, source_network
from grata_monai.objectives import Consistency

RELATIVE = 1e-4


@pytest.fixture(scope="module")
def steps(real_data):
    """Ours and theirs for each step, as (trace, parameters, probabilities, reference)."""
    arrays = np.load(real_data / "golden" / "grata_256.npz")
    golden = json.loads((real_data / "golden" / "grata_256.json").read_text())
    network = source_network(real_data / "models" / "last-Res_Unet.pth")
    strong_views = iter(torch.from_numpy(arrays["strong"]).split(1))
    consistency = Consistency(strong=lambda images, generator: next(strong_views))
    adapter = GraTa(pseudo=consistency, beta=golden["beta"])
    found = []
    with adapter.bound(network):
        for images, reference in zip(
            torch.from_numpy(arrays["x"]).split(1), golden["steps"], strict=True
        ):
            probabilities = torch.sigmoid(adapter.adapt(images))
            parameters = adapter.state_dict()["parameters"]
            found.append((adapter.trace_, parameters, probabilities, reference))
    return found


@pytest.mark.real
@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("auxiliary_loss", "l_ent"),
        ("pseudo_loss", "l_con"),
        ("auxiliary_norm", "ga"),
        ("pseudo_norm", "gp"),
        ("cosine", "cos"),
        ("learning_rate", "lr"),
    ],
)
def test_numbers_of_the_step(steps, step, ours, theirs):
    trace, _, _, reference = steps[step]
    assert trace[ours] == pytest.approx(reference[theirs], rel=RELATIVE)


@pytest.mark.real
@pytest.mark.parametrize("step", range(3))
def test_updated_parameters(steps, step):
    _, parameters, _, reference = steps[step]
    values = torch.cat([p.flatten() for p in parameters.values()]).double()
    assert values.numel() == 19136
    assert values.sum().item() == pytest.approx(reference["affine_sum"], rel=1e-6)
    assert values.square().sum().item() == pytest.approx(reference["affine_sq"], rel=1e-6)
    for name, first_four in reference["params"].items():
        ours = parameters[native_name(name)][:4]
        torch.testing.assert_close(ours, torch.tensor(first_four), rtol=RELATIVE, atol=1e-6)


@pytest.mark.real
@pytest.mark.parametrize("step", range(3))
def test_prediction_after_the_step(steps, step):
    _, _, probabilities, reference = steps[step]
    means = probabilities.mean(dim=(0, 2, 3)).tolist()
    assert means == pytest.approx(reference["prob_mean_after"], rel=RELATIVE)
