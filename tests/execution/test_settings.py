# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How a network is run: precision, compilation, checkpointing, and that nothing stays behind."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn

from grata_monai.adapters import GraTa
from grata_monai.execution import PRECISIONS, Execution, fast_precision
from grata_monai.execution.settings import _copying
from grata_monai.inferers import AdaptiveInferer


def small_network():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(block, nn.Conv2d(8, 2, 1)).eval()


@pytest.fixture
def traced_only(monkeypatch):
    """Let torch trace networks, but run what it traced without generating code (seconds)."""

    def compile_(self, **options):
        traced.append(options)
        self._compiled_call_impl = torch.compile(self._call_impl, backend="eager", dynamic=False)

    traced = []
    monkeypatch.setattr(nn.Module, "compile", compile_)
    yield traced
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"precision": "fp16"}, ValueError, "fp16"),
        ({"compile": "yes"}, ValueError, "'compile'.*True or False.*'yes'"),
        ({"checkpoint": 1}, ValueError, "'checkpoint'.*True or False"),
        ({"compile": True, "checkpoint": True}, ValueError, "Leave compile or checkpoint off"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, error, words):
    with pytest.raises(error, match=words):
        Execution(**settings)


def test_single_precision_is_the_network_itself():
    network, images = small_network(), torch.rand(1, 3, 16, 16)
    with Execution().running(network), torch.no_grad():
        logits = network(images)
    with torch.no_grad():
        assert torch.equal(logits, network(images))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precision_is_of_the_block_only(precision):
    network, images = small_network(), torch.rand(1, 3, 16, 16)
    with Execution(precision=precision).running(network):
        inside = network(images).dtype
    assert inside == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert network(images).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_reduced_precision_ends_with_an_error_inside():
    network = small_network()
    with pytest.raises(KeyError), Execution(precision="bf16").running(network):
        raise KeyError
    assert network(torch.rand(1, 3, 16, 16)).dtype == torch.float32


def test_reduced_precision_adapts_in_single_precision_and_near_to_it():
    images = torch.rand(3, 1, 3, 32, 32)
    results = {}
    for precision in ("fp32", "bf16"):
        network = small_network()
        inferer = AdaptiveInferer(GraTa(beta=0.01), execution=Execution(precision=precision))
        with inferer.adapter.bound(network):
            logits = torch.cat([inferer(image, network) for image in images])
            weights = network[0][1].weight.detach().clone()
        assert logits.dtype == weights.dtype == torch.float32
        results[precision] = logits, weights
    for exact, reduced in zip(results["fp32"], results["bf16"], strict=True):
        assert not torch.equal(exact, reduced)
        torch.testing.assert_close(exact, reduced, atol=0.03, rtol=0.03)


def test_fast_precision_is_what_the_processor_has_instructions_for(monkeypatch):
    for supported, expected in ((True, "bf16"), (False, "tf32")):
        monkeypatch.setattr(
            torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda s=supported: s, raising=False
        )
        assert fast_precision() == fast_precision("cpu") == expected
    for capability, expected in (((8, 0), "bf16"), ((7, 5), "tf32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _d, c=capability: c)
        assert fast_precision("cuda") == expected
    assert fast_precision(torch.device("meta")) == "tf32"


def test_compiled_network_adapts_as_the_network_does(traced_only):
    images = torch.rand(3, 1, 3, 32, 32)
    results = []
    for settings in (Execution(), Execution(compile=True)):
        network = small_network()
        inferer = AdaptiveInferer(GraTa(beta=0.01), execution=settings)
        with inferer.adapter.bound(network):
            results.append([inferer(image, network) for image in images])
        assert network._compiled_call_impl is None
    torch.testing.assert_close(*results)
    assert len(traced_only) == 1  # not again for each image
    assert traced_only[0]["dynamic"] is False


def test_compiled_form_lives_and_dies_with_the_network(traced_only):
    network = small_network()
    for _ in range(2):
        with Execution(compile=True).running(network), torch.no_grad():
            network(torch.rand(1, 3, 16, 16))
    assert len(traced_only) == 1
    twin, restored = copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    nn.init.constant_(twin[1].bias, 7.0)
    image = torch.rand(1, 3, 16, 16)
    with Execution(compile=True).running(twin), torch.no_grad():
        torch.testing.assert_close(
            twin(image) - 7.0, network(image) - network[1].bias.view(2, 1, 1)
        )
    assert len(traced_only) == 2
    assert restored.state_dict().keys() == network.state_dict().keys()
    torch._dynamo.reset()
    there = weakref.ref(network)
    del network
    gc.collect()
    assert there() is None


def test_result_of_a_graph_is_copied():
    memory = torch.zeros(2)
    logits, other = _copying(lambda value: (memory.fill_(value), "x"))(1.0)
    memory.fill_(2.0)
    assert logits.tolist() == [1.0, 1.0]
    assert other == "x"


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with (
        pytest.raises(RuntimeError, match=r"C\+\+ compiler.*apt-get install"),
        Execution(compile=True).running(small_network()),
    ):
        pass


def test_checkpointing_is_of_the_block_only():
    network = small_network()
    with Execution(checkpoint=True).running(network):
        assert "forward" in vars(network[0])
    assert "forward" not in vars(network[0])
