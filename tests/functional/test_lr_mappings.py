# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Mappings from cosine to learning-rate factor against the paper's Table 4 forms."""

from __future__ import annotations

import pytest

from grata_monai.functional import LR_MAPPINGS

COSINES = (-1.0, -0.5, 0.0, 0.5, 1.0)
EXPECTED = {
    "quadratic": (0.0, 0.0625, 0.25, 0.5625, 1.0),
    "linear": (0.0, 0.25, 0.5, 0.75, 1.0),
    "sigmoid": (0.269, 0.378, 0.5, 0.622, 0.731),
    "relu": (0.0, 0.0, 0.0, 0.5, 1.0),
    "softplus": (0.313, 0.474, 0.693, 0.974, 1.313),
    "constant": (1.0, 1.0, 1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_values(name):
    values = [LR_MAPPINGS[name](cosine) for cosine in COSINES]
    assert values == pytest.approx(EXPECTED[name], abs=5e-4)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_never_falls_with_the_cosine(name):
    values = [LR_MAPPINGS[name](-1 + i / 50) for i in range(101)]
    assert values == sorted(values)


def test_every_mapping_is_tested():
    assert set(LR_MAPPINGS) == set(EXPECTED)
