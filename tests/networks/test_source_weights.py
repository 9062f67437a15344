# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of telling the checkpoint formats apart."""

from __future__ import annotations

import pytest
import torch

from grata_monai.networks import HEAD_NAMES, available_heads, read_weights

ONE = torch.ones(1)


def read(tmp_path, names):
    torch.save(dict.fromkeys(names, ONE), tmp_path / "a.pth")
    return read_weights(tmp_path / "a.pth")


def test_the_authors_format(reference_file, with_heads):
    found = read_weights(reference_file)
    assert found.kind == "reference"
    assert found.path == reference_file
    assert found.dropped == ("res.fc.weight", "res.fc.bias")
    assert found.heads == HEAD_NAMES == available_heads(reference_file)
    own = {n.removeprefix("network."): v for n, v in with_heads.state_dict().items()}
    assert found.state_dict.keys() == own.keys()
    assert found.parameter_count == 23_267_842 - 513_000


def test_unused_parts_of_the_authors_network_are_dropped(tmp_path):
    unused = ["res.fc.weight", "res.avgpool.weight", "res.instance_norm.weight", "IN.bias"]
    found = read(tmp_path, ["res.conv1.weight", "seg_head.bias", *unused])
    assert list(found.state_dict) == ["encoder.conv1.weight", "output.bias"]
    assert found.dropped == tuple(unused)


def test_unknown_parts_keep_their_name(tmp_path):
    found = read(tmp_path, ["res.conv1.weight", "prompt.weight"])
    assert list(found.state_dict) == ["encoder.conv1.weight", "prompt.weight"]
    assert found.dropped == ()


def test_an_imagenet_encoder(tmp_path):
    found = read(tmp_path, ["conv1.weight", "layer1.0.bn1.running_mean", "fc.weight", "fc.bias"])
    assert found.kind == "encoder"
    assert list(found.state_dict) == ["encoder.conv1.weight", "encoder.layer1.0.bn1.running_mean"]
    assert found.dropped == ("fc.weight", "fc.bias")
    assert found.parameter_count == 1


def test_an_encoder_alone_under_our_names_is_an_encoder(tmp_path):
    assert read(tmp_path, ["encoder.conv1.weight", "encoder.bn1.bias"]).kind == "encoder"


@pytest.mark.parametrize("prefix", ["", "network."])
def test_our_own_format(tmp_path, prefix):
    names = [
        f"{prefix}encoder.conv1.weight",
        f"{prefix}output.bias",
        "heads.rotation.layers.0.bias",
    ]
    found = read(tmp_path, names)
    assert found.kind == "native"
    assert list(found.state_dict) == [name.removeprefix(prefix) for name in names]
    assert found.heads == ("rotation",)
    assert found.dropped == ()


def test_a_checkpoint_of_another_network(tmp_path):
    with pytest.raises(ValueError, match=r"another network: it holds stem\.weight\. Accepted"):
        read(tmp_path, ["stem.weight"])
