# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the way from the authors' names to ours and back."""

from __future__ import annotations

import pytest

from grata_monai.networks import native_name, reference_name, to_reference_keys

PAIRS = [
    ("res.layer3.5.bn2.running_var", "encoder.layer3.5.bn2.running_var"),
    ("res.layer2.0.downsample.0.weight", "encoder.layer2.0.downsample.0.weight"),
    ("up1.tr_conv.weight", "up1.up.weight"),
    ("up3.x_conv.bias", "up3.skip.bias"),
    ("up4.bn.num_batches_tracked", "up4.norm.num_batches_tracked"),
    ("up5.weight", "up5.weight"),
    ("bnout.weight", "output_norm.weight"),
    ("seg_head.bias", "output.bias"),
    ("recon2.conv.weight", "heads.reconstruction.up2.conv.weight"),
    ("recon_head.weight", "heads.reconstruction.output.weight"),
    ("denoise4.bn.bias", "heads.denoising.up4.norm.bias"),
    ("denoise_head.bias", "heads.denoising.output.bias"),
    ("supres1.conv.bias", "heads.super_resolution.up1.conv.bias"),
    ("supres_head.4.weight", "heads.super_resolution.output.4.weight"),
    ("rotate_head.2.bias", "heads.rotation.layers.2.bias"),
]


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_both_ways(theirs, ours):
    assert native_name(theirs) == ours
    assert reference_name(ours) == theirs
    assert reference_name(f"network.{ours}") == theirs


def test_every_tensor_has_a_name_of_its_own_and_comes_back(with_heads):
    state = with_heads.state_dict()
    theirs = to_reference_keys(state)
    assert len(theirs) == len(state) == 361
    back = [native_name(name) for name in theirs]
    assert back == [name.removeprefix("network.") for name in state]


@pytest.mark.parametrize("translate", [native_name, reference_name])
def test_unknown_names_are_refused(translate):
    with pytest.raises(ValueError, match=r"'up9\.what' is not the name of a tensor"):
        translate("up9.what")
