# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Leaving out the layers of some modules, by whole parts of dotted names."""

from __future__ import annotations

import pytest
from torch import nn

from grata_monai.networks import ResUNet34
from grata_monai.state import bn_affine_parameters


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_deepest_encoder_stage_of_the_paper_s_network(wrapped):
    network = nn.ModuleDict({"network": ResUNet34()}) if wrapped else ResUNet34()
    everything = bn_affine_parameters(network)
    kept = bn_affine_parameters(network, exclude=["encoder.layer4"])
    left_out = set(everything) - set(kept)
    # ResNet-34 ends in three blocks of two norms and a shortcut's norm, 512 channels each.
    assert len(left_out) == 2 * (3 * 2 + 1)
    assert all("encoder.layer4." in name for name in left_out)
    assert sum(everything[name].numel() for name in left_out) == 7 * 2 * 512
    assert sum(parameter.numel() for parameter in everything.values()) == 19136


def test_parts_of_names_are_whole_and_unknown_ones_do_not_matter():
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    assert set(bn_affine_parameters(network, exclude=["decoder", "1.1"])) == {
        "0.weight",
        "0.bias",
        "1.0.weight",
        "1.0.bias",
    }
    assert set(bn_affine_parameters(network, exclude=["1"])) == {"0.weight", "0.bias"}
    with pytest.raises(ValueError, match="outside of 0, 1"):
        bn_affine_parameters(network, exclude=["0", "1"])
