# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of checkpoints, seeding and resuming."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.handlers import LrScheduleHandler, MeanDice, ValidationHandler, from_engine
from monai.transforms import RandGaussianNoised
from torch import nn

from grata_monai.networks import ResUNet34, WithHeads, build_heads, load_source_weights
from grata_monai.training import (
    EpochSeed,
    JointIteration,
    TrainingCheckpoint,
    resume_training,
    save_source_weights,
)


class PowerCutError(Exception):
    """Stands for a power cut."""


def make_training(make_trainer, folder, *, epochs=3, settings=None, workers=0, evaluator=None):
    trainer = make_trainer(
        epochs=epochs,
        workers=workers,
        transform=RandGaussianNoised("image", prob=1.0, std=0.1),
        iteration_update=JointIteration(["denoising"]),
    )
    checkpoint = TrainingCheckpoint(
        folder,
        network=trainer.network,
        objects={"optimizer": trainer.optimizer, "scheduler": trainer.scheduler},
        settings={"epochs": epochs, "seed": 0} | (settings or {}),
        evaluator=evaluator,
    )
    LrScheduleHandler(trainer.scheduler, print_lr=False).attach(trainer)
    EpochSeed(trainer.data_loader, seed=4).attach(trainer)
    checkpoint.attach(trainer)
    return trainer, checkpoint


@pytest.mark.parametrize("workers", [0, 1])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(make_trainer, tmp_path, workers):
    whole, _ = make_training(make_trainer, tmp_path / "whole", workers=workers)
    whole.run()

    first, _ = make_training(make_trainer, tmp_path / "parts", workers=workers)

    @first.on(Events.ITERATION_COMPLETED(once=5))  # in the middle of the second epoch
    def interrupt(_):
        raise PowerCutError

    with pytest.raises(PowerCutError):
        first.run()
    assert not (tmp_path / "parts" / "model.pt").exists()

    second, checkpoint = make_training(make_trainer, tmp_path / "parts", workers=workers)
    seen = []
    second.add_event_handler(
        Events.EPOCH_STARTED,
        lambda engine: seen.append((engine.state.epoch, engine.optimizer.param_groups[0]["lr"])),
    )
    assert resume_training(second, checkpoint) == 1
    second.run()
    assert [epoch for epoch, _ in seen] == [2, 3]
    assert [lr for _, lr in seen] == pytest.approx([0.1 * (2 / 3) ** 0.9, 0.1 * (1 / 3) ** 0.9])
    for name, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[name], value), name
    ours = torch.load(tmp_path / "parts" / "model.pt", weights_only=True)
    theirs = torch.load(tmp_path / "whole" / "model.pt", weights_only=True)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_epochs_differ_and_seed_decides(make_trainer):
    def images(seed, rank=0):
        trainer = make_trainer(transform=RandGaussianNoised("image", prob=1.0, std=0.1))
        EpochSeed(trainer.data_loader, seed=seed, rank=rank).attach(trainer)
        seen = []
        trainer.add_event_handler(
            Events.ITERATION_STARTED,
            lambda engine: seen.append(engine.state.batch["image"].sum().item()),
        )
        trainer.run()
        return seen

    first = images(0)
    assert images(0) == first
    assert images(1)[:3] != first[:3]
    assert images(0, rank=1)[:3] != first[:3]
    assert sorted(first[:3]) != sorted(first[3:])


def test_epoch_seed_needs_a_generator_and_a_sampler_that_knows_epochs():
    loader = torch.utils.data.DataLoader([1, 2])
    with pytest.raises(ValueError, match="must have a generator of its own"):
        EpochSeed(loader)
    loader = torch.utils.data.DataLoader([1, 2], shuffle=True, generator=torch.Generator())
    with pytest.raises(ValueError, match="Use DistributedSampler"):
        EpochSeed(loader)


def test_resume_refuses_other_settings_and_leaves_the_network(make_trainer, tmp_path):
    trainer, _ = make_training(make_trainer, tmp_path, epochs=1)
    trainer.run()
    other, checkpoint = make_training(make_trainer, tmp_path, epochs=1, settings={"seed": 9})
    before = {k: v.clone() for k, v in other.network.state_dict().items()}
    with pytest.raises(ValueError, match="its seed is 0, now it is 9"):
        resume_training(other, checkpoint)
    assert all(torch.equal(v, before[k]) for k, v in other.network.state_dict().items())
    assert other.state.epoch == 0


def test_resume_without_or_with_a_damaged_checkpoint(make_trainer, tmp_path):
    trainer, checkpoint = make_training(make_trainer, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"last\.pt to resume from"):
        resume_training(trainer, checkpoint)
    (tmp_path / "last.pt").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="damaged or no checkpoint"):
        resume_training(trainer, checkpoint)
    torch.save({"weight": torch.zeros(1)}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="is no checkpoint of such a training"):
        resume_training(trainer, checkpoint)


def test_best_is_the_epoch_of_the_best_metric_also_after_resume(make_trainer, tmp_path):
    """The validation metric of epochs 1..3 is set to 0.5, 0.7, 0.6."""
    values = {1: 0.5, 2: 0.7, 3: 0.6}
    kept = {}

    def run(epochs_to_run, *, resume):
        network = None
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=[{"image": torch.zeros(1, 3, 8, 8), "label": torch.zeros(1, 2, 8, 8)}],
            network=nn.Identity(),
            inferer=lambda images, network: torch.zeros(1, 2, 8, 8),
            key_val_metric={"dice": MeanDice(output_transform=from_engine(["pred", "label"]))},
        )
        evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: None)
        # Runs before MONAI compares: overwrite what the metric computed.
        evaluator._event_handlers[Events.EPOCH_COMPLETED].insert(
            1,
            (
                lambda engine: engine.state.metrics.update(dice=values[engine.state.epoch]),
                (evaluator,),
                {},
            ),
        )
        trainer, checkpoint = make_training(make_trainer, tmp_path, evaluator=evaluator)
        network = trainer.network
        handlers = trainer._event_handlers[Events.EPOCH_COMPLETED]
        ValidationHandler(validator=evaluator, interval=1).attach(trainer)
        handlers.insert(0, handlers.pop())

        @trainer.on(Events.EPOCH_COMPLETED)
        def keep(engine):
            kept[engine.state.epoch] = {k: v.clone() for k, v in network.state_dict().items()}
            if engine.state.epoch == epochs_to_run:
                raise PowerCutError

        if resume:
            resume_training(trainer, checkpoint)
            assert evaluator.state.best_metric == pytest.approx(0.7)
        with pytest.raises(PowerCutError):
            trainer.run()

    run(2, resume=False)
    run(3, resume=True)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert all(torch.equal(best[k], v) for k, v in kept[2].items())


def test_saved_weights_load_as_a_source_model(tmp_path):
    torch.manual_seed(0)
    network = WithHeads(ResUNet34(), build_heads(["rotation"]))
    save_source_weights(network, tmp_path / "model.pt")
    again = WithHeads(ResUNet34(), build_heads(["rotation"]))
    report = load_source_weights(again, tmp_path / "model.pt")
    assert not report.missing
    assert not report.dropped
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    plain = ResUNet34()
    report = load_source_weights(plain, tmp_path / "model.pt")
    assert all(name.startswith("heads.rotation") for name in report.dropped)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, network.network.state_dict()[name])


def test_failing_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save_source_weights(nn.Linear(1, 1), path)
    before = path.read_bytes()

    def fail(state, target):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_source_weights(nn.Linear(1, 1), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt"]
