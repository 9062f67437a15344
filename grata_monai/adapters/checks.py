# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The contract as checks that run over every adapter, also those of other packages.

Example:
    In a test module::

        @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
        def test_contract(check):
            check(MyAdapter())

Each check takes an unbound adapter, works on copies of it, and raises ``AssertionError`` with the
reason if the contract is broken.
"""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable

import torch
from torch import nn

from grata_monai.adapters.base import Adapter
from grata_monai.adapters.check_tools import (
    clone,
    expect,
    expect_equal,
    expect_error,
    expect_same_state,
    expect_same_tensors,
    portrait,
    stream,
    tiny_images,
    tiny_network,
)
from grata_monai.state import apply_policy

__all__ = ["CHECKS", "Check", "clone", "tiny_images", "tiny_network"]

Check = Callable[[Adapter], None]

_FORBIDDEN = {"label", "labels", "target", "targets", "mask", "masks", "y", "ground_truth"}


def check_output(adapter: Adapter) -> None:
    """Logits are finite, detached, and of the shape, dtype and device of the network's own."""
    network = tiny_network()
    for images in (
        tiny_images()[0],
        tiny_images(size=(13, 17))[0],
        tiny_images(size=(12, 24))[0][..., ::2],
        torch.cat(tiny_images(2)),
    ):
        kept = images.clone()
        with torch.no_grad():
            expected = network(images)
        with clone(adapter).bound(network) as bound:
            logits = bound.adapt(images)
        expect(not logits.requires_grad, "the output is detached")
        expect(bool(torch.isfinite(logits).all()), "the output is finite")
        expect(logits.shape == expected.shape, "the output has the network's shape")
        expect(logits.dtype == expected.dtype, "the output has the network's dtype")
        expect(logits.device == expected.device, "the output is on the network's device")
        expect(torch.equal(images, kept), "the images are untouched")


def check_three_dimensions(adapter: Adapter) -> None:
    """Volumes are adapted to like images."""
    with clone(adapter).bound(tiny_network(3)) as bound:
        logits = bound.adapt(tiny_images(size=(6, 8, 8))[0])
    expect(logits.shape == (1, 2, 6, 8, 8), "a volume gives a volume of logits")


def check_gradient_modes(adapter: Adapter) -> None:
    """no_grad, inference_mode, train() and eval() all give the same."""
    images = tiny_images(2)
    # A first layer whose gradient needs its input, which must then be no inference tensor.
    first = nn.BatchNorm2d(3)
    expected = stream(adapter, images, first=first)
    with torch.no_grad():
        expect_equal(stream(adapter, images, first=first), expected, "under no_grad")
    with torch.inference_mode():
        own = [image.clone() for image in images]
        expect_equal(stream(adapter, own, first=first), expected, "under inference_mode")
    trained = stream(adapter, images, first=first, training=True)
    expect_equal(trained, expected, "in training mode")


def check_reset(adapter: Adapter) -> None:
    """reset() goes back to the source bit for bit, also in what comes after it."""
    network, images = tiny_network(), tiny_images(3)
    with clone(adapter).bound(network) as bound:
        first = [bound.adapt(image) for image in images]
        bound.reset()
        expect_same_state(network, tiny_network(), "after reset()")
        second = [bound.adapt(image) for image in images]
    expect_equal(second, first, "the same stream after reset()")


def check_release(adapter: Adapter) -> None:
    """release() leaves no trace in values, flags, gradients, hooks or classes."""
    network = tiny_network().train()
    network[0].requires_grad_(False)
    network[1].eval()
    before = portrait(network)
    with clone(adapter).bound(network) as bound:
        for image in tiny_images(2):
            bound.adapt(image)
    expect(portrait(network) == before, "release() gives the network back as it was found")
    expect_same_state(network, tiny_network(), "after release()")
    network.load_state_dict(tiny_network().state_dict(), strict=True)


def check_exceptions(adapter: Adapter) -> None:
    """An exception in the network or in prediction leaves neither the network nor a binding."""
    network = tiny_network()
    before = portrait(network)
    for failing_call in range(12):
        calls = 0

        def fail(*_: object, at: int = failing_call) -> None:
            nonlocal calls
            calls += 1
            if calls > at:
                raise KeyError("deliberate")

        hook = network.register_forward_pre_hook(fail)
        try:
            with clone(adapter).bound(network) as bound:
                bound.adapt(tiny_images()[0])
        except KeyError:
            pass
        hook.remove()
        expect(portrait(network) == before, f"forward {failing_call} raised: network as found")
        expect_same_state(network, tiny_network(), f"after forward {failing_call} raised")


def check_only_declared_parameters_move(adapter: Adapter) -> None:
    """What is not among adapted_parameters stays as it is, source statistics included."""
    network, source = tiny_network(), tiny_network().state_dict()
    with clone(adapter).bound(network) as bound:
        for image in tiny_images(3):
            bound.adapt(image)
        declared = set(bound.adapted_parameters)
        moved = {n for n, v in network.state_dict().items() if not torch.equal(v, source[n])}
        left = [n for n, p in network.named_parameters() if p.grad is not None]
    expect(moved <= declared, f"undeclared changes in {sorted(moved - declared)}")
    expect(not left, f"gradients left on {left}")


def check_zero_learning_rate(adapter: Adapter) -> None:
    """With beta = 0 the method is its statistics policy alone."""
    policy = clone(adapter)._policy()
    if "beta" not in adapter.parameter_names() or policy is None:
        return
    images, network = tiny_images(3), tiny_network().eval()
    handle = apply_policy(network, policy)
    with torch.no_grad():
        expected = [network(image) for image in images]
    handle.remove()
    expect_equal(stream(clone(adapter, beta=0.0), images), expected, "with beta = 0")


def check_seed(adapter: Adapter) -> None:
    """The same seed gives the same bits; the global generator is neither read nor moved."""
    images = tiny_images(3)
    torch.manual_seed(1)
    first = stream(adapter, images)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    expect_equal(stream(adapter, images), first, "with the same seed")
    expect(torch.equal(torch.get_rng_state(), state), "the global generator is untouched")


def check_life_cycles(adapter: Adapter) -> None:
    """per_image forgets every image, per_dataset every data set, never nothing."""
    images = tiny_images(3)
    episodic = clone(adapter, life_cycle="per_image")
    alone = [stream(episodic, [image])[0] for image in images]
    expect_equal(stream(episodic, images), alone, "per_image: earlier images change nothing")

    network = tiny_network()
    with clone(adapter, life_cycle="per_dataset").bound(network) as bound:
        first = [bound.adapt(image) for image in images]
        bound.begin_dataset()
        expect_equal([bound.adapt(i) for i in images], first, "per_dataset: begin_dataset()")

    continual = clone(adapter, life_cycle="never")
    with continual.bound(network):
        start = [continual.adapt(image) for image in images[:2]]
    expect_same_state(network, tiny_network(), "never: the network itself is given back")
    with continual.bound(network):
        end = [continual.adapt(images[2])]
    expect_equal(start + end, stream(clone(continual), images), "never: goes on after release()")
    for _ in range(2):
        expect_error(continual, tiny_network(seed=1), ValueError, "source", own=True)
    continual.reset()
    with continual.bound(network):
        again = [continual.adapt(image) for image in images[:2]]
    expect_equal(again, start, "never: reset() forgets what was carried")


def check_state_dict(adapter: Adapter) -> None:
    """A state saved in mid-stream goes on the same, from memory and from a file read safely."""
    images = tiny_images(4)
    network = tiny_network()
    seen = 1 if adapter.life_cycle == "per_image" else 2
    with clone(adapter).bound(network) as bound:
        for image in images[:2]:
            bound.adapt(image)
        state, buffer = bound.state_dict(), io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        expected = [bound.adapt(image) for image in images[2:]]
        for source in (state, torch.load(buffer, weights_only=True), state):
            bound.load_state_dict(source)
            expect(bound.images_seen_ == seen, "the counter is part of the state")
            found = [bound.adapt(image) for image in images[2:]]
            expect_equal(found, expected, "after load_state_dict()")
        bound.load_state_dict(state)
        for key in ("parameters", "generator", "images_seen", "method"):
            try:
                bound.load_state_dict({k: v for k, v in state.items() if k != key})
            except ValueError:
                pass
            else:
                raise AssertionError(f"a state without {key!r} was taken")
        found = [bound.adapt(image) for image in images[2:]]
        expect_equal(found, expected, "after damaged states were refused")


def check_predict_only(adapter: Adapter) -> None:
    """predict_only() gives what the state gives and leaves no trace in it."""
    images = tiny_images(4)
    expected = stream(adapter, images)
    network = tiny_network()
    with clone(adapter).bound(network) as bound:
        found = []
        for image, other in zip(images, reversed(images), strict=True):
            state = bound.state_dict()
            first, second = bound.predict_only(other), bound.predict_only(other)
            expect_equal([first], [second], "predict_only() twice")
            expect(not first.requires_grad, "the output of predict_only() is detached")
            expect_same_tensors(bound.state_dict(), state, "after predict_only()")
            with bound.as_source():
                network(other)
            expect_same_tensors(bound.state_dict(), state, "after as_source()")
            found.append(bound.adapt(image))
    expect_equal(found, expected, "a stream with predict_only() in between")


def check_settings(adapter: Adapter) -> None:
    """Settings round-trip; copies and pickles are equal and unbound; bad ones are named."""
    images = tiny_images(2)
    expected = stream(adapter, images)
    with clone(adapter).bound(tiny_network()) as bound:
        copies = [clone(bound), copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))]
    for other in copies:
        expect(other.network is None, "a copy is unbound")
        with other.bound(tiny_network()):
            found = [other.adapt(image) for image in images]
        expect_equal(found, expected, "a copy gives the same")
    for name in adapter.parameter_names():
        try:
            clone(adapter, **{name: "no such thing"})
        except (ValueError, TypeError) as error:
            expect(name in str(error), f"the error about {name!r} names it; it says: {error}")
        else:
            raise AssertionError(f"a senseless {name!r} was taken")


def check_no_labels(adapter: Adapter) -> None:
    """No public method has an argument for labels."""
    for name, method in inspect.getmembers(type(adapter), inspect.isfunction):
        found = _FORBIDDEN & set(inspect.signature(method).parameters)
        expect(not found, f"{name}() takes {found}")


def check_degenerate_images(adapter: Adapter) -> None:
    """Constant images and saturated predictions give finite logits and leave a finite network."""
    network = tiny_network()
    with torch.no_grad():
        list(network.parameters())[-2].mul_(200.0)
    with clone(adapter).bound(network) as bound:
        for image in (torch.zeros(1, 3, 12, 12), torch.full((1, 3, 12, 12), 0.5), *tiny_images(1)):
            expect(bool(torch.isfinite(bound.adapt(image)).all()), "the logits are finite")
        values = network.state_dict().values()
        expect(all(bool(torch.isfinite(v).all()) for v in values), "the network stays finite")


def check_non_finite_image(adapter: Adapter) -> None:
    """An image with NaN does not stop the stream and changes nothing for those after it."""
    images = tiny_images(3)
    broken = torch.full((1, 3, 12, 12), torch.nan)
    outputs = stream(adapter, [images[0], broken, *images[1:]])
    expect_equal([outputs[0], *outputs[2:]], stream(adapter, images), "around a NaN image")


def check_unsuitable_networks(adapter: Adapter) -> None:
    """TorchScript, data-parallel wrappers and (if needed) BN-less networks get a clear error."""
    scripted = torch.jit.trace(  # type: ignore[no-untyped-call]
        tiny_network().eval(), tiny_images()[0]
    )
    expect_error(adapter, scripted, TypeError, "TorchScript")
    expect_error(adapter, nn.DataParallel(tiny_network()), TypeError, "DataParallel")
    bare = tiny_network(batch_norm=False)
    if adapter.needs_batch_norm:
        expect_error(adapter, bare, ValueError, "batch-normalization")
    network = tiny_network()
    with clone(adapter).bound(network):
        expect_error(adapter, network, RuntimeError, "bound by another adapter")


CHECKS: tuple[Check, ...] = (
    check_degenerate_images,
    check_exceptions,
    check_gradient_modes,
    check_life_cycles,
    check_no_labels,
    check_non_finite_image,
    check_only_declared_parameters_move,
    check_output,
    check_predict_only,
    check_release,
    check_reset,
    check_seed,
    check_settings,
    check_state_dict,
    check_three_dimensions,
    check_unsuitable_networks,
    check_zero_learning_rate,
)
