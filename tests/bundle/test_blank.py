# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The network that waits for its weights: nothing is drawn, nothing stays blank."""

from __future__ import annotations

import pytest
import torch

from grata_monai.bundle import blank_network, load_weights
from grata_monai.networks import source_network
from grata_monai.training import save_source_weights


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A source model with a head, and its file."""
    torch.manual_seed(0)
    network = source_network(heads=["rotation"]).eval()
    path = tmp_path_factory.mktemp("blank") / "model.pt"
    save_source_weights(network, path)
    return network, path


def test_what_would_be_drawn_is_zero_and_nothing_else(source):
    network, _ = source
    before = torch.random.get_rng_state()
    blank = blank_network(heads=["rotation"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert type(blank) is type(network)
    drawn = {name for name, value in network.state_dict().items() if value.min() < value.max()}
    state = blank.state_dict()
    assert state.keys() == network.state_dict().keys()
    assert len(drawn) > 40
    for name, value in state.items():
        constant = torch.zeros_like(value) if name in drawn else network.state_dict()[name]
        assert torch.equal(value, constant), name


def test_draws_come_back_afterwards():
    blank_network()
    assert torch.empty(8).normal_().std() > 0


def test_after_loading_it_is_the_source_model(source):
    network, path = source
    blank = blank_network(heads=["rotation"]).eval()
    load_weights(blank, path)
    expected = network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in blank.state_dict().items())
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(blank(images), network(images))
        assert torch.equal(blank.head("rotation", images), network.head("rotation", images))


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("heads.rotation", r"no weights for the heads rotation"),
        ("heads.rotation.layers.4.bias", r"1 missing \(heads.rotation.layers.4.bias\)"),
        ("network.up3.skip.weight", r"1 missing \(up3.skip.weight\)"),
    ],
)
def test_a_file_that_lacks_a_tensor_does_not_leave_it_blank(source, tmp_path, lost, message):
    """The message is the one that a network with random weights gets."""
    network, path = source
    tensors = torch.load(path)
    kept = {name: value for name, value in tensors.items() if not name.startswith(lost)}
    assert len(kept) < len(tensors)
    torch.save(kept, tmp_path / "lacking.pt")
    for untouched in (network, blank_network(heads=["rotation"])):
        with pytest.raises(SystemExit, match=message):
            load_weights(untouched, tmp_path / "lacking.pt")
