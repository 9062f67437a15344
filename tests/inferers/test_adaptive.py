# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The inferer: binds, adapts, predicts, restores; alone, bound, nested, in threads."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer

from grata_monai.adapters import GraTa, Tent
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.inferers import AdaptiveInferer

IMAGES = tiny_images(3)


def adapted_alone(image, **settings):
    with Tent(beta=0.5, **settings).bound(tiny_network()) as adapter:
        return adapter.adapt(image)


def test_alone_every_call_is_a_data_set_of_its_own():
    network, inferer = tiny_network(), AdaptiveInferer(Tent(beta=0.5))
    for image in (*IMAGES, IMAGES[0]):
        with torch.no_grad():
            logits = inferer(image, network)
        assert torch.equal(logits, adapted_alone(image))
    for name, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_bound_the_state_goes_on():
    network, inferer = tiny_network(), AdaptiveInferer(Tent(beta=0.5))
    with inferer.adapter.bound(network):
        first, second = inferer(IMAGES[0], network), inferer(IMAGES[0], network)
    assert not torch.equal(first, second)


def test_only_the_network_given_is_adapted():
    network = tiny_network()
    twin = copy.deepcopy(network)
    inferer = AdaptiveInferer(Tent(beta=0.5))
    with inferer.adapter.bound(network):
        with pytest.raises(RuntimeError, match="bound to another network"):
            inferer(IMAGES[0], twin)


def test_inner_inferer_gets_the_adapted_network_and_its_arguments():
    class Recorder(Inferer):
        def __call__(self, inputs, network, *args, **kwargs):
            self.seen = (args, kwargs)
            return network(inputs) + 1

    recorder = Recorder()
    logits = AdaptiveInferer(Tent(beta=0.5), recorder)(IMAGES[0], tiny_network(), 1, two=2)
    assert recorder.seen == ((1,), {"two": 2})
    torch.testing.assert_close(logits, adapted_alone(IMAGES[0]) + 1)


def test_sliding_window():
    inner = SlidingWindowInferer(roi_size=(8, 8), overlap=0.5)
    image = tiny_images(size=(16, 12))[0]
    logits = AdaptiveInferer(GraTa(), inner)(image, tiny_network())
    assert logits.shape == (1, 2, 16, 12)
    assert torch.isfinite(logits).all()


def test_metadata_of_the_images_stays_with_the_prediction():
    image = MetaTensor(IMAGES[0], meta={"filename_or_obj": "a.png"})
    logits = AdaptiveInferer(Tent(beta=0.5))(image, tiny_network())
    assert isinstance(logits, MetaTensor)
    assert logits.meta["filename_or_obj"] == "a.png"
    assert torch.equal(logits.as_tensor(), adapted_alone(IMAGES[0]))


def test_inference_mode():
    network, inferer = tiny_network(), AdaptiveInferer(Tent(beta=0.5))
    with torch.inference_mode():
        logits = inferer(IMAGES[0].clone(), network)
    assert torch.equal(logits, adapted_alone(IMAGES[0]))


def test_threads_that_share_a_network_get_what_each_alone_gets():
    network = tiny_network()
    inferers = [AdaptiveInferer(Tent(beta=0.5)) for _ in range(2)]
    expected = [adapted_alone(image) for image in IMAGES]

    def request(number):
        return torch.equal(inferers[number % 2](IMAGES[number % 3], network), expected[number % 3])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(request, range(24)))


def test_an_exception_gives_the_network_back():
    class Failing(Inferer):
        def __call__(self, inputs, network, *args, **kwargs):
            raise KeyError("deliberate")

    network = tiny_network()
    inferer = AdaptiveInferer(Tent(beta=0.5), Failing())
    with pytest.raises(KeyError, match="deliberate"):
        inferer(IMAGES[0], network)
    assert inferer.adapter.network is None
    assert torch.equal(network[1].bias, tiny_network()[1].bias)


def test_copies_and_pickles_work():
    for twin in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        logits = twin(AdaptiveInferer(Tent(beta=0.5)))(IMAGES[0], tiny_network())
        assert torch.equal(logits, adapted_alone(IMAGES[0]))


def test_not_an_adapter():
    with pytest.raises(TypeError, match="needs an Adapter; got str"):
        AdaptiveInferer("tent")
