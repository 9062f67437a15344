# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Volumes and large images: adapt to windows of them, predict with a sliding window."""

from __future__ import annotations

import logging

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer, sliding_window_inference
from monai.networks.nets import UNet

from grata_monai.adapters import ADAPTERS, DUA, GraTa, Tent, build_adapter
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.execution import Execution
from grata_monai.inferers import AdaptationWindows, AdaptiveInferer

ROI = (8, 8, 8)


def numbers(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


VOLUME = numbers((1, 1, 20, 12, 16))


def volume_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=2,
            channels=(4, 8),
            strides=(2,),
            num_res_units=1,
            norm="batch",
        )
        with torch.no_grad():  # statistics other than those of a network that has seen nothing
            network(VOLUME.square())
    return network.eval()


def inferer(adapter, *, count=3, execution=None):
    return AdaptiveInferer(
        adapter,
        SlidingWindowInferer(roi_size=ROI, sw_batch_size=2, overlap=0.25),
        windows=AdaptationWindows(size=ROI, count=count),
        execution=execution,
    )


def by_hand(adapter, network, windows, volume=VOLUME):
    """Adapt to windows as if they were images, then slide over the volume."""
    for window in windows:
        adapter.adapt(window)
    with torch.no_grad():
        return sliding_window_inference(volume, ROI, 2, network.eval(), overlap=0.25)


# -- which windows -------------------------------------------------------------------------------


def places(windows, images):
    """Return where the windows lie in images whose values are all different."""
    found = []
    for window in windows(images):
        corner = window[0, 0].flatten()[0]
        found.append(tuple(int(i) for i in (images[0, 0] == corner).nonzero()[0]))
    return found


def test_all_windows_of_a_grid_whose_last_ones_end_with_the_image():
    windows = AdaptationWindows(size=(8, 6), count=100)
    images = numbers((1, 2, 20, 12))
    assert places(windows, images) == [(r, c) for r in (0, 8, 12) for c in (0, 6)]
    for (row, column), window in zip(places(windows, images), windows(images), strict=True):
        assert torch.equal(window, images[..., row : row + 8, column : column + 6])


def test_windows_are_spread_and_those_with_content_come_first():
    images = numbers((1, 1, 16, 16)) * 0.01
    images[..., 0:4, 8:12] *= 50  # in the first half of the rows, and
    images[..., 12:16, 4:8] *= 50  # in the second
    images[..., 4:8, 0:4] *= 20  # the third most, but the first half has its window
    assert places(AdaptationWindows(size=4, count=2), images) == [(0, 8), (12, 4)]
    assert places(AdaptationWindows(size=4, count=1), images) in ([(0, 8)], [(12, 4)])


def test_a_different_constant_color_is_no_content():
    images = torch.cat([torch.zeros(1, 1, 4, 8), torch.ones(1, 1, 4, 8)], dim=1)
    images[:, 0, 1, 5] = 0.1
    (window,) = AdaptationWindows(size=4, count=1)(images)
    assert torch.equal(window, images[..., 4:])


def test_windows_of_one_value_are_left_out_unless_there_are_no_others():
    images = torch.full((1, 1, 8, 16), 0.5)
    windows = AdaptationWindows(size=4, count=4)
    assert len(list(windows(images))) == 4
    images[..., 5, 9] = 1.0
    (window,) = windows(images)
    assert torch.equal(window, images[..., 4:8, 8:12])


def test_windows_are_copies():
    images = numbers((1, 1, 8, 8))
    before = images.clone()
    for window in AdaptationWindows(size=8)(images):
        window.zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(5, 20, 8), (8, 8, 8), (3, 2, 7)])
def test_padding_is_that_of_the_sliding_window(shape):
    images = numbers((2, 1, *shape))
    seen = []

    def note(window):
        seen.append(window.clone())
        return window

    sliding_window_inference(images, ROI, 1, note, overlap=0.0)
    found = list(AdaptationWindows(size=ROI, count=100)(images))
    assert len(seen) == 2 * len(found)
    for window in found:
        for image in window:
            assert any(torch.equal(image[None], other) for other in seen)


@pytest.mark.parametrize("size", [0, -8, (8, 0), 1.5, "8", (), None, (8, True)])
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="'size' parameter of AdaptationWindows must"):
        AdaptationWindows(size=size)


@pytest.mark.parametrize("count", [0, 2.5, "all"])
def test_bad_counts(count):
    with pytest.raises(ValueError, match="'count' parameter of AdaptationWindows must"):
        AdaptationWindows(size=8, count=count)


def test_size_of_other_dimensions_than_the_images():
    windows = AdaptationWindows(size=(8, 8))
    with pytest.raises(ValueError, match=r"has 2 numbers, but images of shape .* have 3 spatial"):
        AdaptiveInferer(Tent(), SlidingWindowInferer(ROI), windows=windows)(
            VOLUME, volume_network()
        )


# -- adaptation ----------------------------------------------------------------------------------


def test_a_volume_is_adapted_to_by_windows_then_predicted_with_a_sliding_window():
    network, other = volume_network(), volume_network()
    logits = inferer(GraTa(beta=0.05))(VOLUME, network)
    with GraTa(beta=0.05).bound(other) as adapter:
        windows = [VOLUME[:, :, s : s + 8, r : r + 8, c : c + 8] for s, r, c in starts_of(VOLUME)]
        expected = by_hand(adapter, other, windows)
    assert torch.equal(logits, expected)
    assert logits.shape == (1, 2, 20, 12, 16)
    for name, value in volume_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    plain = inferer(GraTa(beta=0.0))(VOLUME, network)
    assert not torch.allclose(plain, logits, atol=1e-3)


def starts_of(volume, count=3):
    """Return by brute force where three windows of a volume start, the most varied of each run."""
    grid = [(s, r, c) for s in (0, 8, 12) for r in (0, 4) for c in (0, 8)]
    spread = [volume[0, 0, s : s + 8, r : r + 8, c : c + 8].numpy().var() for s, r, c in grid]
    runs = [range(0, 4), range(4, 8), range(8, 12)]
    assert len(runs) == count
    return [grid[max(run, key=lambda i: spread[i])] for run in runs]


def test_each_volume_starts_at_the_source_and_its_windows_do_not():
    adapter = Tent(beta=0.05, life_cycle="per_image")
    network = volume_network()
    adapts, first = inferer(adapter), None
    with adapter.bound(network):
        for _ in range(2):
            logits = adapts(VOLUME, network)
            assert adapter.images_seen_ == 3
            first = logits if first is None else first
        assert torch.equal(logits, first)
        adapts(numbers(VOLUME.shape, seed=1), network)
        assert torch.equal(adapts(VOLUME, network), first)
    single = inferer(Tent(beta=0.05, life_cycle="per_image"), count=1)(VOLUME, network)
    assert not torch.equal(single, first)  # the windows' updates pile up


def test_online_the_state_goes_on_from_volume_to_volume():
    adapter, network = Tent(beta=0.05), volume_network()
    adapts = inferer(adapter)
    with adapter.bound(network):
        first, second = adapts(VOLUME, network), adapts(VOLUME, network)
        assert adapter.images_seen_ == 6
        adapter.reset()
        assert torch.equal(adapts(VOLUME, network), first)
    assert not torch.equal(first, second)


def test_prediction_before_the_windows():
    before = inferer(Tent(beta=0.05, predict="before_update"))(VOLUME, volume_network())
    unmoved = inferer(Tent(beta=0.0))(VOLUME, volume_network())
    assert torch.equal(before, unmoved)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_method_takes_windows(name):
    few = {"cotta": {"views": 2}, "memo": {"views": 2}}.get(name, {})
    image = tiny_images(size=(24, 20))[0]
    adapter, network = build_adapter(name, **few), tiny_network()
    adapts = AdaptiveInferer(
        adapter, SlidingWindowInferer((12, 12)), windows=AdaptationWindows(size=12, count=3)
    )
    with adapter.bound(network):
        logits = adapts(image, network)
        assert adapter.trace_["windows"] == 3.0
        assert adapter.images_seen_ <= 3
    assert logits.shape == (1, 2, 24, 20)
    assert torch.isfinite(logits).all()
    for key, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key


def test_the_trace_is_the_mean_over_the_windows():
    adapter, network = DUA(views=2), tiny_network()
    image = tiny_images(size=(24, 12))[0]
    windows = AdaptationWindows(size=12, count=2)
    with adapter.bound(network):
        AdaptiveInferer(adapter, windows=windows)(image, network)
        momentum = [0.1 * 0.94**n + 0.005 for n in (1, 2)]
        assert adapter.trace_ == {
            "momentum": pytest.approx(sum(momentum) / 2),
            "updated": 1.0,
            "windows": 2.0,
        }


def test_a_window_that_is_not_finite_makes_no_update_and_the_others_do(caplog):
    image = tiny_images(size=(36, 12))[0]
    broken = image.clone()
    broken[..., 15, 3] = torch.nan
    adapter, network = Tent(beta=0.5), tiny_network()
    adapts = AdaptiveInferer(adapter, windows=AdaptationWindows(size=12, count=3))
    with adapter.bound(network), caplog.at_level(logging.WARNING):
        adapts(broken, network)
        assert adapter.trace_["updated"] == pytest.approx(2 / 3)
        assert adapter.trace_["windows"] == 3.0
        assert adapter.images_seen_ == 2
        found = network[1].bias.detach().clone()
    assert "made no update" in caplog.text
    with adapter.bound(network):
        adapter.adapt(image[..., :12, :])
        adapter.adapt(image[..., 24:, :])
        assert torch.equal(network[1].bias, found)


def test_an_exception_in_a_later_window_takes_the_earlier_ones_back():
    def failing(images):
        yield images[..., :12, :12]
        raise KeyError("deliberate")

    adapter, network = GraTa(beta=0.5), tiny_network()
    image = tiny_images(size=(24, 12))[0]
    with adapter.bound(network):
        adapter.adapt(image)
        state = adapter.state_dict()
        expected = adapter.adapt(image)
        adapter.load_state_dict(state)
        with pytest.raises(KeyError, match="deliberate"):
            AdaptiveInferer(adapter, windows=failing)(image, network)
        assert adapter.images_seen_ == 1
        assert torch.equal(adapter.adapt(image), expected)


def test_the_network_never_sees_more_than_a_window():
    shapes = set()
    network = volume_network()
    hook = network.register_forward_pre_hook(lambda _, inputs: shapes.add(inputs[0].shape))
    inferer(GraTa())(VOLUME, network)
    hook.remove()
    assert {shape[2:] for shape in shapes} == {ROI}
    assert max(len(batch) for batch in (torch.empty(shape) for shape in shapes)) == 2


def test_a_volume_smaller_than_the_window():
    volume = VOLUME[:, :, :5, :, :7]
    network = volume_network()
    logits = inferer(Tent(beta=0.05))(volume, network)
    padded = torch.nn.functional.pad(volume, (0, 1, 0, 0, 1, 2))
    with Tent(beta=0.05).bound(volume_network()) as adapter:
        windows = [padded[..., r : r + 8, :] for r in (0, 4)]
        expected = by_hand(adapter, adapter.network, windows, volume)
    assert logits.shape == (1, 2, 5, 12, 7)
    assert torch.equal(logits, expected)


def test_a_large_image_with_metadata_in_bfloat16_and_checkpointed():
    image = MetaTensor(numbers((1, 1, 20, 12, 16)), meta={"filename_or_obj": "a.nii"})
    execution = Execution(precision="bf16", checkpoint=True)
    logits = inferer(GraTa(beta=0.05), execution=execution)(image, volume_network())
    assert logits.meta["filename_or_obj"] == "a.nii"
    assert logits.dtype == torch.float32
    plain = inferer(GraTa(beta=0.05))(VOLUME, volume_network())
    torch.testing.assert_close(logits.as_tensor(), plain, atol=0.05, rtol=0.05)


def test_without_windows_the_network_adapts_to_the_images_as_a_whole():
    inner = SlidingWindowInferer(roi_size=ROI, sw_batch_size=2, overlap=0.25)
    adapter, network = Tent(beta=0.05), volume_network()
    with adapter.bound(network):
        logits = AdaptiveInferer(adapter, inner)(VOLUME, network)
        assert "windows" not in adapter.trace_
    with Tent(beta=0.05).bound(volume_network()) as other:
        assert torch.equal(logits, by_hand(other, other.network, [VOLUME]))


def test_windows_that_are_no_function():
    with pytest.raises(TypeError, match="'windows' parameter of AdaptiveInferer must be a func"):
        AdaptiveInferer(Tent(), windows=4)


class Whole(Inferer):
    """Predicts at once, and remembers on which device it was given images."""

    def __call__(self, inputs, network, *args, **kwargs):
        self.devices = [inputs.device.type]
        logits = network(inputs)
        self.devices.append(logits.device.type)
        return logits


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_volume_stays_where_it_is():
    inner = Whole()
    network = volume_network().cuda()
    windows = AdaptationWindows(size=ROI, count=3)
    logits = AdaptiveInferer(GraTa(), inner, windows=windows)(VOLUME, network)
    assert inner.devices == ["cpu", "cpu"]
    assert logits.device.type == "cpu"
