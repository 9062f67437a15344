# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the segmentation network."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.networks import ResUNet34, source_network


def torchvision_resnet34_shapes():
    """Names and shapes of a ResNet-34 without its classifier, as torchvision has them."""
    shapes = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for layer, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, before, 3, 3)
            norm(f"{name}.bn1", width)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn2", width)
            if before != width:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                norm(f"{name}.downsample.1", width)
            before = width
    return shapes


def test_counts_match_the_reference(meta_network):
    norms = [m for m in meta_network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 41
    assert sum(m.weight.numel() + m.bias.numel() for m in norms) == 19_136
    unused_classifier = 512 * 1000 + 1000
    count = sum(p.numel() for p in meta_network.parameters())
    assert count == 22_554_570 - unused_classifier


def test_encoder_has_the_names_and_shapes_of_torchvision(meta_network):
    state = meta_network.encoder.state_dict()
    assert {n: tuple(t.shape) for n, t in state.items()} == torchvision_resnet34_shapes()


def test_logits_match_an_independent_implementation(network, oracle, images):
    with torch.no_grad():
        logits = network(images)
        expected = oracle.logits(images)
    assert logits.shape == (2, 2, 64, 32)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_feature_maps_and_bottleneck(network, images):
    with torch.no_grad():
        features = network.encode(images)
        bottleneck = network.bottleneck(images)
        decoded = network.decode(features)
        logits = network(images)
    shapes = [(64, 32, 16), (64, 16, 8), (128, 8, 4), (256, 4, 2), (512, 2, 1)]
    assert [tuple(f.shape) for f in features] == [(2, *shape) for shape in shapes]
    assert torch.equal(bottleneck, features[-1])
    assert torch.equal(decoded, logits)


def test_images_are_left_as_they_are(network, images):
    before = images.clone()
    with torch.no_grad():
        network(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(1, 3, 48, 64), (1, 3, 64, 33), (3, 64, 64)])
def test_sizes_that_do_not_fit_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"multiples of 32.*Got shape.*resize or pad"):
        network(torch.zeros(shape))


@pytest.mark.parametrize(("name", "value"), [("in_channels", 0), ("out_channels", 1.5)])
def test_channel_counts_are_checked(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of ResUNet34"):
        ResUNet34(**{name: value})


def test_other_channel_counts():
    with torch.device("meta"):
        network = ResUNet34(in_channels=1, out_channels=3)
        assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_gives_the_same_logits(network, images):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(buffer)(images), network(images))


@pytest.mark.real
def test_probabilities_of_the_authors_code_on_a_real_image(real_data):
    recorded = json.loads((real_data / "golden" / "grata_256.json").read_text())
    images = torch.from_numpy(np.load(real_data / "golden" / "grata_256.npz")["x"])[:1]
    network = source_network(real_data / "models" / recorded["checkpoint"])
    network.train()  # batch statistics, as the authors' code adapts
    with torch.no_grad():
        means = torch.sigmoid(network(images)).mean(dim=(0, 2, 3))
    expected = torch.tensor(recorded["steps"][0]["prob_mean_before"])
    torch.testing.assert_close(means, expected, rtol=1e-4, atol=0)
