# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of training the segmentation and the heads together."""

from __future__ import annotations

import pytest
import torch
from monai.engines.utils import IterationEvents

from grata_monai.objectives import Denoising, Reconstruction
from grata_monai.training import JointIteration


def run_recording(trainer, steps=1):
    """Run some iterations; return outputs at LOSS_COMPLETED and the order of events."""
    outputs, events = [], []
    for event in IterationEvents:
        if event in (
            IterationEvents.FORWARD_COMPLETED,
            IterationEvents.LOSS_COMPLETED,
            IterationEvents.BACKWARD_COMPLETED,
            IterationEvents.MODEL_COMPLETED,
        ):
            trainer.add_event_handler(event, lambda _, name=event.name: events.append(name))

    @trainer.on(IterationEvents.LOSS_COMPLETED)
    def keep(engine):
        outputs.append({k: v.detach().clone() for k, v in engine.state.output.items()})

    trainer.state.epoch_length = steps
    trainer.run()
    return outputs, events


def test_no_objectives_is_the_trainers_own_iteration(make_trainer):
    plain = make_trainer()
    joint = make_trainer(iteration_update=JointIteration())
    plain.run()
    joint.run()
    for ours, theirs in zip(
        joint.network.state_dict().values(), plain.network.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_loss_is_the_weighted_sum_and_events_are_the_trainers(make_trainer, make_network):
    plain_events = run_recording(make_trainer(epochs=1))[1]
    trainer = make_trainer(
        epochs=1,
        iteration_update=JointIteration(["reconstruction", Denoising()], weight=0.25, seed=2),
    )
    outputs, events = run_recording(trainer)
    assert events == plain_events
    assert events == [f"{name}_COMPLETED" for name in ("FORWARD", "LOSS", "BACKWARD", "MODEL")]
    output = outputs[0]
    assert output["loss"].item() == pytest.approx(
        (
            output["loss_segmentation"]
            + 0.25 * (output["loss_reconstruction"] + output["loss_denoising"])
        ).item()
    )
    expected = Reconstruction()(make_network().train(), output["image"], torch.Generator())
    assert output["loss_reconstruction"].item() == pytest.approx(expected.item())


def test_heads_are_trained_and_only_then(make_trainer, make_network):
    start = make_network().state_dict()
    trainer = make_trainer(epochs=1, iteration_update=JointIteration(["reconstruction"]))
    trainer.run()
    after = trainer.network.state_dict()
    moved = {name for name in start if not torch.equal(start[name], after[name])}
    assert "heads.reconstruction.0.weight" in moved
    assert "decoder.weight" in moved
    assert not any(name.startswith("heads.denoising") for name in moved)


def test_running_statistics_come_from_the_segmentation_pass(make_trainer):
    plain, joint = (
        make_trainer(epochs=1, iteration_update=JointIteration(names))
        for names in ((), ("denoising",))
    )
    run_recording(plain)
    run_recording(joint)
    ours, theirs = joint.network.encoder[1], plain.network.encoder[1]
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)
    assert ours.momentum == theirs.momentum == 0.1
    assert not torch.equal(joint.network.heads["denoising"][1].running_mean, torch.zeros(3))


def test_draws_depend_on_seed_and_iteration_only(make_trainer):
    def losses(seed):
        iteration = JointIteration(["denoising"], seed=seed)
        outputs, _ = run_recording(make_trainer(epochs=1, iteration_update=iteration), steps=2)
        return [float(output["loss_denoising"]) for output in outputs]

    torch.manual_seed(0)
    first = losses(0)
    state = torch.get_rng_state()
    torch.manual_seed(99)
    assert losses(0) == first
    assert losses(1)[0] != first[0]
    torch.manual_seed(0)
    losses(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_loss_function_is_given_back_also_after_an_error(make_trainer):
    trainer = make_trainer(epochs=1, iteration_update=JointIteration(["rotation"]))
    own = trainer.loss_function
    with pytest.raises(KeyError, match="rotation"):
        trainer.run()
    assert trainer.loss_function is own
    assert trainer.network.encoder[1].momentum == 0.1


def test_rejects_objectives_without_head_and_wrong_numbers():
    with pytest.raises(ValueError, match="Entropy has none"):
        JointIteration(["entropy"])
    with pytest.raises(ValueError, match="did you mean 'denoising'"):
        JointIteration(["denoise"])
    with pytest.raises(ValueError, match="'weight' parameter"):
        JointIteration(weight=-0.1)
