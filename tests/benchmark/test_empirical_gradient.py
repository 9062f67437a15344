# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The diagnostic of Figure 4 against autograd by hand, and that it disturbs nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from grata_monai.adapters import build_adapter
from grata_monai.adapters.check_tools import tiny_images, tiny_network
from grata_monai.benchmark.cells import run_cell
from grata_monai.benchmark.empirical_gradient import empirical_gradient_cosines
from grata_monai.benchmark.grid import Method
from grata_monai.benchmark.run_folder import read_text_rows
from grata_monai.objectives import Entropy
from grata_monai.state import BatchStatistics, apply_policy, bn_affine_parameters

IMAGE = tiny_images(1)[0]
LABEL = (torch.arange(2 * 144).reshape(1, 2, 12, 12) % 3 == 0).float()
UNTIMED = {"seconds", "memory_mb"}


class Square(Entropy):
    """A loss that draws: the mean square of the logits times a random number."""

    def __call__(self, network, images, generator):
        return (network(images) * torch.rand(1, generator=generator)).square().mean()


def gradient_by_hand(network, loss):
    parameters = list(bn_affine_parameters(network).values())
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]).double()


def cosine_by_hand(a, b):
    return float(a @ b / a.norm() / b.norm())


def test_aligned_and_plain_cosine_by_hand():
    with build_adapter("grata", auxiliary=Entropy(), pseudo=Square()).bound(
        tiny_network()
    ) as bound:
        found = empirical_gradient_cosines(bound, IMAGE, LABEL)
    network = tiny_network().eval()
    apply_policy(network, BatchStatistics())
    draws = torch.Generator().manual_seed(0)
    factor = torch.rand(1, generator=draws)
    probability = torch.sigmoid(network(IMAGE))
    entropy = -(probability * torch.log(probability + 1e-6)).sum(dim=1).mean()
    shift = gradient_by_hand(network, entropy)
    empirical = gradient_by_hand(network, binary_cross_entropy_with_logits(network(IMAGE), LABEL))
    plain = gradient_by_hand(network, (network(IMAGE) * factor).square().mean())
    with torch.no_grad():
        start = 0
        for parameter in bn_affine_parameters(network).values():
            end = start + parameter.numel()
            parameter -= shift[start:end].reshape(parameter.shape).float()
            start = end
    aligned = gradient_by_hand(network, (network(IMAGE) * factor).square().mean())
    assert found["empirical_cosine"] == pytest.approx(cosine_by_hand(aligned, empirical), abs=1e-5)
    assert found["empirical_cosine_plain"] == pytest.approx(
        cosine_by_hand(plain, empirical), abs=1e-5
    )
    assert abs(found["empirical_cosine"] - found["empirical_cosine_plain"]) > 1e-4


def test_without_auxiliary_both_are_the_same():
    for adapter in (build_adapter("tent"), build_adapter("grata", auxiliary="none")):
        with adapter.bound(tiny_network()) as bound:
            found = empirical_gradient_cosines(bound, IMAGE, LABEL)
        assert found["empirical_cosine"] == found["empirical_cosine_plain"] != 0


@pytest.mark.parametrize("method", ["source", "ptbn", "dua", "guard"])
def test_methods_without_a_gradient_have_none(method):
    with build_adapter(method).bound(tiny_network()) as bound:
        assert empirical_gradient_cosines(bound, IMAGE, LABEL) == {}


@pytest.mark.parametrize("protocol", ["vptta", "episodic"])
@pytest.mark.parametrize("method", ["grata", "tent", "sar", "cotta"])
def test_the_stream_is_the_same_with_and_without_it(plan_of, tmp_path, method, protocol):
    rows = {}
    for diagnostics in (False, True):
        plan = plan_of([Method("m", method)], protocols=(protocol,), diagnostics=diagnostics)
        task = plan.task(plan.grid.cells()[0], tmp_path / str(diagnostics), pictures=False)
        task = replace(task, stream=task.stream[:3])
        run_cell(task)
        found = read_text_rows(task.folder / "rows.csv")
        rows[diagnostics] = [
            {k: v for k, v in row.items() if k not in UNTIMED and not k.startswith("diag_")}
            for row in found
        ]
        has = "diag_empirical_cosine" in found[0]
        assert has is (diagnostics and method in {"grata", "tent"})
    assert rows[False] == rows[True]
