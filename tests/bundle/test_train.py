# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of train.json and evaluate.json on small images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai.data.utils import no_collation
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.networks import read_weights, source_network
from tests.bundle.conftest import CONFIGS, DOMAIN, SIZE, TRAINING_DOMAIN


class PowerCutError(Exception):
    """Stands for a power cut."""


@pytest.fixture
def make(root, tmp_path):
    """Make and initialize a training, or an evaluation if told so."""

    def make(*configs, folder="models", **overrides):
        settings = {
            "dataset_dir": str(root),
            "domain": TRAINING_DOMAIN,
            "ckpt_dir": str(tmp_path / folder),
            "output_dir": str(tmp_path / "eval"),
            "image_size": SIZE,
            "epochs": 2,
            "batch_size": 2,
            "num_workers": 0,
            "device": "cpu",
        } | overrides
        workflow = ConfigWorkflow(
            [str(CONFIGS / f"{name}.json") for name in ("train", *configs)],
            workflow_type="train",
            logging_file=False,
            **settings,
        )
        workflow.initialize()
        return workflow

    return make


def run(workflow):
    workflow.run()
    workflow.finalize()
    return workflow


def test_interrupted_and_resumed_equals_uninterrupted(make, tmp_path):
    whole = make(folder="whole")
    assert whole.check_properties() == []
    rates = []
    whole.trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda engine: rates.append(engine.optimizer.param_groups[0]["lr"])
    )
    run(whole)
    assert rates == pytest.approx([1e-3, 1e-3 * 0.5**0.9])

    parts = make(folder="parts")

    def cut(_):
        raise PowerCutError

    parts.trainer.add_event_handler(Events.EPOCH_STARTED(once=2), cut)
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        parts.run()
    assert isinstance(caught.value.__cause__, PowerCutError)
    resumed = make(folder="parts", resume=True)
    assert resumed.trainer.state.epoch == 1
    run(resumed)

    files = [torch.load(tmp_path / f / "model.pt", weights_only=True) for f in ("whole", "parts")]
    assert all(torch.equal(value, files[1][name]) for name, value in files[0].items())
    assert (tmp_path / "parts" / "best.pt").is_file()

    before = (tmp_path / "parts" / "model.pt").stat().st_mtime_ns
    complete = run(make(folder="parts", resume=True))
    assert complete.trainer.state.epoch == 2
    assert (tmp_path / "parts" / "model.pt").stat().st_mtime_ns == before


def test_heads_are_trained_and_saved_and_the_model_is_evaluated(make, tmp_path):
    start = source_network(heads=["rotation"]).state_dict()
    workflow = make(heads=["rotation"], auxiliary_weight=0.5, epochs=1, validation=0.4)
    run(workflow)
    weights = read_weights(tmp_path / "models" / "model.pt")
    assert weights.heads == ("rotation",)
    trained = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert trained.keys() == start.keys()

    evaluation = run(make("evaluate", validation="all"))
    assert evaluation.check_properties() == []
    table = pd.read_csv(tmp_path / "eval" / "val_mean_dice_raw.csv")
    assert len(table) == 5
    assert set(evaluation.evaluator.state.metrics) == {
        "val_mean_dice",
        "val_assd",
        "val_vcdr_error",
    }


def test_only_the_heads_of_a_source_model_are_trained(make, weights, infer, tmp_path):
    options = {"heads": ["rotation", "reconstruction"], "heads_only": True}
    workflow = make(**options, encoder_weights=str(weights))
    start = {name: value.clone() for name, value in workflow.network_def.state_dict().items()}
    run(workflow)
    source = torch.load(weights, weights_only=True)
    trained = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert trained.keys() == start.keys()
    for name, value in trained.items():
        if name.startswith("network."):
            assert torch.equal(value, source[name.removeprefix("network.")]), name
        else:
            assert not torch.equal(value, start[name]), name
    assert workflow.evaluator.state.epoch == 0
    assert not (tmp_path / "models" / "best.pt").exists()
    adapted = infer(
        weights=str(tmp_path / "models" / "model.pt"),
        heads=["rotation"],
        method="grata",
        method_options={"auxiliary": "rotation"},
    )
    assert adapted.evaluator.state.iteration == 2
    with pytest.raises(SystemExit, match="its heads_only is True, now it is False"):
        make(heads=options["heads"], resume=True)


def test_only_the_heads_need_a_whole_source_model(make, weights, tmp_path):
    options = {"heads": ["rotation"], "heads_only": True}
    state = torch.load(weights, weights_only=True)
    encoder = {name: value for name, value in state.items() if name.startswith("encoder.")}
    torch.save(encoder, tmp_path / "encoder.pt")
    with pytest.raises(SystemExit, match="no source model to train only the heads of: it lacks"):
        make(**options, encoder_weights=str(tmp_path / "encoder.pt"))
    with pytest.raises(SystemExit, match=r"done by one process: .* Got 2 processes"):
        make(**options, encoder_weights=str(weights), replicas=2)


def test_encoder_weights_start_the_encoder_and_leave_the_decoder(make, tmp_path):
    encoder = {
        name.removeprefix("encoder."): torch.full_like(value, 0.25)
        for name, value in source_network().state_dict().items()
        if name.startswith("encoder.")
    }
    torch.save(encoder, tmp_path / "resnet34.pth")
    workflow = make(encoder_weights=str(tmp_path / "resnet34.pth"))
    state = workflow.network_def.state_dict()
    assert (state["encoder.layer2.0.conv1.weight"] == 0.25).all()
    assert state["up1.up.weight"].std() > 0


def test_images_and_masks_enter_as_documented(make):
    workflow = make(learning_rate=0.01)
    (batch, *_) = workflow.trainer.data_loader
    assert batch["image"].shape == (2, 3, SIZE, SIZE)
    assert batch["image"].dtype == torch.float32
    for image in no_collation(batch["image"]):
        assert image.min() == 0
        assert image.max() == 1
    assert batch["label"].shape == (2, 2, SIZE, SIZE)
    assert set(batch["label"].unique().tolist()) == {0.0, 1.0}
    disc, cup = batch["label"].unbind(1)
    assert (cup <= disc).all()
    assert disc.mean() > cup.mean() > 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epochs": 0}, "'epochs' parameter of the bundle"),
        ({"batch_size": 0}, "'batch_size' parameter of the bundle"),
        ({"learning_rate": "fast"}, "'learning_rate' parameter of the bundle"),
        ({"auxiliary_weight": -1}, "'auxiliary_weight' parameter of the bundle"),
        ({"validation": "all"}, "no images to train on"),
        ({"validation": 1.5}, "The 'validation' must be"),
        ({"validation": "half"}, "The 'validation' must be"),
        ({"domain": "Synthetic_C"}, "has no domain 'Synthetic_C'"),
        ({"dataset_dir": None}, "There is no data"),
        ({"encoder_weights": "nowhere.pth"}, "no checkpoint file nowhere.pth"),
        ({"resume": True}, r"There is no .*last\.pt to resume from"),
        ({"heads": ["entropy"]}, "The 'heads' parameter"),
        ({"heads_only": "yes"}, "'heads_only' .* must be True or False"),
        ({"heads_only": True}, "say which: --heads"),
        ({"heads_only": True, "heads": ["rotation"]}, "give the source model that they belong to"),
    ],
)
def test_wrong_settings(make, overrides, message):
    with pytest.raises(SystemExit, match=f"^Error: .*{message}"):
        make(**overrides)


def test_resuming_with_other_settings_is_refused(make):
    run(make(epochs=1))
    with pytest.raises(SystemExit, match="its epochs is 1, now it is 3"):
        make(epochs=3, resume=True)


def test_images_around_given_centers_are_cut_to_the_roi_size(make, root, tmp_path):
    """A photograph twice as wide, cut around the center of its right half, is that half."""
    rows = []
    for number, item in enumerate(fundus_datalist(root, domain=TRAINING_DOMAIN)):
        for kind in ("image", "label"):
            pixels = np.asarray(Image.open(item[kind]))
            target = tmp_path / "wide" / kind / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate([pixels[:, ::-1], pixels], axis=1)).save(target)
        rows.append(f"image/{number}.png,label/{number}.png,{SIZE // 2},{SIZE + SIZE // 2}")
    (tmp_path / "wide" / "list.csv").write_text(
        "\n".join(["image,mask,center_row,center_col", *rows])
    )
    cut = {"dataset_dir": str(tmp_path / "wide" / "list.csv"), "domain": None, "roi_size": SIZE}
    for part in ("train", "validate"):
        wide, plain = (
            make(folder=name, validation=0.4, **options).parser.get_parsed_content(
                f"{part}#dataset"
            )
            for name, options in (("wide", cut), ("plain", {}))
        )
        assert len(wide) == len(plain) == {"train": 3, "validate": 2}[part]
        for one, other in zip(wide, plain, strict=True):
            assert one["image"].shape == (3, SIZE, SIZE)
            assert torch.equal(one["label"].as_tensor(), other["label"].as_tensor())
            assert torch.equal(one["image"].as_tensor(), other["image"].as_tensor())


def test_frozen_statistics_stay_those_of_the_source_model_outside_the_heads(
    make, weights, tmp_path
):
    workflow = make(
        encoder_weights=str(weights), freeze_statistics=True, heads=["denoising"], epochs=1
    )
    start = {name: value.clone() for name, value in workflow.network_def.state_dict().items()}
    run(workflow)
    trained = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    for name, value in trained.items():
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            is_frozen = name.startswith("network.")
            assert torch.equal(value, start[name]) == is_frozen, name
    assert not torch.equal(
        trained["network.encoder.conv1.weight"], start["network.encoder.conv1.weight"]
    )


def test_resuming_with_another_roi_size_is_refused(make):
    run(make(epochs=1))
    with pytest.raises(SystemExit, match="its roi_size is 800, now it is 640"):
        make(epochs=1, roi_size=640, resume=True)


def test_evaluating_without_weights_is_refused(make):
    with pytest.raises(SystemExit, match="There are no weights"):
        make("evaluate")


def test_a_training_is_not_overwritten_unasked(make, tmp_path):
    run(make(epochs=1))
    before = (tmp_path / "models" / "model.pt").read_bytes()
    with pytest.raises(SystemExit, match="holds a training already, which would be overwritten"):
        make(epochs=1)
    with pytest.raises(SystemExit, match="its domain is"):
        make(epochs=1, domain=DOMAIN, validation=0.5, resume=True)
    assert (tmp_path / "models" / "model.pt").read_bytes() == before
