# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of training the segmentation and the heads together."""

from __future__ import annotations

import pytest
import torch
from monai.engines.utils import IterationEvents
from monai.inferers import SimpleInferer

from grata_monai.objectives import Denoising, Reconstruction
from grata_monai.state import BatchStatistics, apply_policy
from grata_monai.training import JointIteration

HEADS = ("reconstruction", "denoising")


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


def heads_only_trainer(make_trainer, network, *, learning_rate=0.1, **options):
    """Trainer of both heads of a network whose optimizer knows nothing else."""
    iteration = JointIteration(HEADS, heads_only=True, seed=2)
    trainer = make_trainer(network=network, iteration_update=iteration, **options)
    trainer.optimizer = torch.optim.SGD(network.heads.parameters(), learning_rate, momentum=0.9)
    return trainer


def test_heads_only_leaves_every_other_bit(make_trainer, make_network):
    network = make_network()
    with torch.no_grad():
        network.encoder[1].running_mean.uniform_()
    network.decoder.bias.requires_grad_(False)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    predictions = []
    network.decoder.register_forward_hook(lambda *_: predictions.append(1))
    outputs, events = run_recording(heads_only_trainer(make_trainer, network, epochs=1), steps=2)
    after = network.state_dict()
    moved = {name for name in start if not torch.equal(start[name], after[name])}
    assert all(name.startswith("heads.") for name in moved)
    assert {f"heads.{head}.0.weight" for head in HEADS} < moved
    assert {f"heads.{head}.1.running_mean" for head in HEADS} < moved
    assert not predictions
    assert events == [f"{n}_COMPLETED" for n in ("FORWARD", "LOSS", "BACKWARD", "MODEL")] * 2
    assert all(p.grad is None for n, p in network.named_parameters() if not n.startswith("heads."))
    frozen = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert frozen == ["decoder.bias"]
    assert "forward" not in vars(network.encoder[1])
    for output in outputs:
        assert "loss_segmentation" not in output
        total = output["loss_reconstruction"] + output["loss_denoising"]
        assert output["loss"].item() == pytest.approx(total.item())


def test_heads_only_sees_each_image_under_its_own_statistics(make_trainer, make_network):
    outputs, _ = run_recording(heads_only_trainer(make_trainer, make_network(), epochs=1))
    images = outputs[0]["image"]
    network = make_network()
    apply_policy(network.encoder, BatchStatistics())
    with torch.no_grad():
        features = torch.cat([network.encoder(image[None]) for image in images])
        decoded = network.heads["reconstruction"].train()(features).sigmoid()
    expected = (decoded - images).square().mean()
    assert outputs[0]["loss_reconstruction"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_heads_only_makes_the_loss_fall(make_trainer, make_network):
    losses = []
    trainer = heads_only_trainer(make_trainer, make_network(), epochs=15, learning_rate=0.3)
    trainer.add_event_handler(
        IterationEvents.LOSS_COMPLETED,
        lambda engine: losses.append(engine.state.output["loss"].item()),
    )
    trainer.run()
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_heads_only_needs_heads_one_process_and_large_enough_images(make_trainer, make_network):
    with pytest.raises(ValueError, match="'heads_only' parameter of JointIteration needs 'obj"):
        JointIteration(heads_only=True)
    network = make_network()
    trainer = heads_only_trainer(make_trainer, network, epochs=1)
    iteration = JointIteration(HEADS, heads_only=True)
    batch = {"image": torch.rand(2, 3, 1, 1), "label": torch.ones(2, 2, 1, 1)}
    with pytest.raises(ValueError, match="which has no variance; use larger images"):
        iteration(trainer, batch)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert "forward" not in vars(network.encoder[1])
    assert isinstance(trainer.inferer, SimpleInferer)
    parallel = torch.nn.parallel.DistributedDataParallel
    trainer.network = parallel.__new__(parallel)  # a real one needs a group of processes
    with pytest.raises(ValueError, match="allows one process"):
        iteration(trainer, batch)
