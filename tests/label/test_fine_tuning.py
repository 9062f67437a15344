# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning moves the model to the labels, publishes what is not worse, and can be undone."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch
from PIL import Image

from grata_monai.data import paint_fundus
from grata_monai.label import fine_tuning
from grata_monai.label.fine_tuning import FineTuning, LabeledImage, fine_tune, measure_dice
from grata_monai.label.versions import ModelVersions
from grata_monai.networks import ResUNet34, available_heads, source_network
from grata_monai.training import save_source_weights
from tests.imaging.test_dicom import write_dicom

SIZE = 64
QUICK = FineTuning(
    epochs=4,
    learning_rate=0.01,
    batch_size=1,
    freeze_statistics=False,  # those of the untrained source fit no photograph
    validation=0.0,
    image_size=SIZE,
    whole=False,
    device="cpu",
)


def write_label(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def eyes():
    """Four synthetic photographs with their label maps."""
    pairs = [paint_fundus("Synthetic_A", seed=seed, size=SIZE) for seed in range(4)]
    return [(image, np.select([mask == 0, mask < 255], [2, 1], 0)) for image, mask in pairs]


@pytest.fixture(scope="module")
def items(eyes, tmp_path_factory):
    """The photographs as files, with their labels."""
    folder = tmp_path_factory.mktemp("eyes")
    found = []
    for number, (image, labels) in enumerate(eyes):
        Image.fromarray(image).save(folder / f"{number}.png")
        label = write_label(folder / "labels" / f"{number}.png", labels)
        found.append(LabeledImage(f"eye {number}", folder / f"{number}.png", label))
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A source model that knows nothing, with plausible statistics."""
    torch.manual_seed(0)
    network = ResUNet34().train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.rand(2, 3, SIZE, SIZE))
    path = tmp_path_factory.mktemp("source") / "model.pt"
    save_source_weights(network, path)
    return path


@pytest.fixture(scope="module")
def trained(source, items, tmp_path_factory):
    """Versions of which the second was fine-tuned, its work folder, and what was random then."""
    folder = tmp_path_factory.mktemp("trained")
    versions = ModelVersions(folder / "model")
    versions.add(source, kind="imported")
    before = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    fine_tune(versions, items, QUICK, work=folder / "work")
    after = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    return versions, folder / "work", before == after


@pytest.fixture
def untrained(source, tmp_path):
    """Versions with the one that knows nothing."""
    versions = ModelVersions(tmp_path / "model")
    versions.add(source, kind="imported")
    return versions


def predicted(network, image):
    """Disc and cup, from the pixels alone."""
    pixels = image.astype(np.float32)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    with torch.no_grad():
        return network(torch.from_numpy(pixels.transpose(2, 0, 1))[None])[0].numpy() >= 0


def dice_by_hand(weights, pairs):
    """Mean Dice of disc and cup, from the definition."""
    network = source_network(weights).eval()
    scores = []
    for image, labels in pairs:
        for seen, true in zip(predicted(network, image), (labels >= 1, labels == 2), strict=True):
            scores.append(2 * (seen & true).sum() / (seen.sum() + true.sum()))
    return float(np.mean(scores))


def cup_share(weights, pairs):
    """How much of the disc that a model sees is cup to it, over all photographs."""
    network = source_network(weights).eval()
    disc, cup = np.zeros(2)
    for image, _ in pairs:
        seen = predicted(network, image)
        disc, cup = disc + seen[0].sum(), cup + (seen[0] & seen[1]).sum()
    return cup / disc


def test_it_learns_the_labels_and_reports_what_it_did(trained, items, eyes):
    versions, work, _ = trained
    first, second = versions.all()
    assert versions.current() == second
    assert versions.previous() == first
    info = second.info
    assert info["kind"] == "fine_tuned"
    assert info["parent"] == "v0001"
    assert (info["images"], info["validation_images"], info["epochs"]) == (4, 4, 4)
    assert info["validated_on"] == "the training images"
    assert info["published"] is True
    assert info["skipped"] == []
    assert info["settings"] == dataclasses.asdict(QUICK)
    assert info["dice_before"] == pytest.approx(dice_by_hand(first.weights, eyes), abs=1e-3)
    assert info["dice_after"] == pytest.approx(dice_by_hand(second.weights, eyes), abs=1e-3)
    assert info["dice_after"] > info["dice_before"] + 0.2
    for index, mean in enumerate((info["dice_before"], info["dice_after"])):
        disc, cup = (info["by_structure"][name][index] for name in ("disc", "cup"))
        assert mean == pytest.approx((disc + cup) / 2)
    assert not work.exists()


def test_nobodys_random_numbers_change(trained):
    *_, is_unchanged = trained
    assert is_unchanged


@pytest.mark.slow
def test_it_follows_another_rater_and_rolling_back_undoes_it(trained, items, eyes, tmp_path):
    """To one who sees cup everywhere; the old version then gives the old output, bit for bit."""
    versions, *_ = trained
    start = versions.current()
    bits = start.weights.read_bytes()
    probe = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    network = source_network(start.weights).eval()
    with torch.no_grad():
        output = network(probe)
    all_cup = [(image, np.where(labels > 0, 2, 0)) for image, labels in eyes]
    relabeled = [
        dataclasses.replace(item, label=write_label(tmp_path / f"{number}.png", labels))
        for number, (item, (_, labels)) in enumerate(zip(items, all_cup, strict=True))
    ]
    result = fine_tune(versions, relabeled, QUICK, work=tmp_path / "work")
    assert versions.current() == result
    assert result.info["parent"] == start.name
    assert dice_by_hand(result.weights, all_cup) > dice_by_hand(start.weights, all_cup) + 0.1
    assert cup_share(result.weights, eyes) > cup_share(start.weights, eyes) + 0.1

    versions.make_current(versions.previous().name)
    assert versions.current() == start
    assert versions.current().weights.read_bytes() == bits
    with torch.no_grad():
        assert torch.equal(source_network(versions.current().weights).eval()(probe), output)


def test_whole_photographs_of_all_formats_are_cut_around_their_disc(
    untrained, eyes, tmp_path, monkeypatch
):
    """Five formats, one image more than a batch; what the training saw is read from its lists."""
    seen = {}
    workflow = fine_tuning.run_workflow

    def spy(config, **overrides):
        finished = workflow(config, **overrides)
        for part in ("train", "validate"):
            seen[part] = finished.parser.get_parsed_content(f"{part}#dataset#data")
        seen["labels"] = [
            item["label"].as_tensor()
            for item in finished.parser.get_parsed_content("validate#dataset")
        ]
        return finished

    monkeypatch.setattr(fine_tuning, "run_workflow", spy)
    photographs, centers = [], {}
    for number, suffix in enumerate((".png", ".jpg", ".tiff", ".bmp", ".dcm")):
        image, labels = eyes[number % len(eyes)]
        pixels = np.pad(image, ((number, 40), (30, 50 - number), (0, 0)))
        path = tmp_path / f"{number}{suffix}"
        if suffix == ".dcm":
            write_dicom(path, pixels)
        else:
            Image.fromarray(pixels).save(path)
        whole = np.pad(labels, ((number, 40), (30, 50 - number)))
        label = write_label(tmp_path / "labels" / f"{number}.png", whole)
        photographs.append(LabeledImage(path.name, path, label))
        rows, columns = np.nonzero(whole)
        centers[str(path)] = (rows.mean(), columns.mean())
    settings = dataclasses.replace(
        QUICK, epochs=1, batch_size=4, validation=0.2, whole=True, roi_size=SIZE, publish="never"
    )
    version = fine_tune(untrained, photographs, settings, work=tmp_path / "work")
    assert untrained.current().name == "v0001"
    assert version.info["published"] is False
    assert version.info["validated_on"] == "held-out images"
    assert version.info["images"] + version.info["validation_images"] == 5
    listed = {
        item["image"]: item["disc_center"] for part in ("train", "validate") for item in seen[part]
    }
    assert listed.keys() == centers.keys()
    for image, center in centers.items():
        assert listed[image] == pytest.approx(center, abs=1e-6)
    assert len(seen["labels"]) == version.info["validation_images"]
    for label in seen["labels"]:
        disc = np.argwhere(label[0].numpy())
        assert disc.mean(axis=0) == pytest.approx([SIZE / 2, SIZE / 2], abs=1.0)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_statistics_are_the_parents_if_frozen(untrained, items, tmp_path, is_frozen):
    assert FineTuning().freeze_statistics is True
    settings = dataclasses.replace(QUICK, epochs=1, freeze_statistics=is_frozen)
    version = fine_tune(untrained, items[:2], settings, work=tmp_path / "work")
    old, new = (torch.load(one.weights, weights_only=True) for one in untrained.all())
    statistics = [name for name in old if name.endswith(("running_mean", "running_var"))]
    assert len(statistics) == 82
    assert {torch.equal(old[name], new[name]) for name in statistics} == {is_frozen}
    assert not torch.equal(old["encoder.conv1.weight"], new["encoder.conv1.weight"])
    assert version.info["settings"]["freeze_statistics"] is is_frozen


def test_heads_of_the_model_stay_with_the_parent(items, tmp_path):
    torch.manual_seed(0)
    save_source_weights(source_network(heads=["rotation"]), tmp_path / "heads.pt")
    versions = ModelVersions(tmp_path / "model")
    versions.add(tmp_path / "heads.pt", kind="imported")
    settings = dataclasses.replace(QUICK, epochs=1, publish="always")
    version = fine_tune(versions, items[:2], settings, work=tmp_path / "work")
    assert available_heads(version.weights) == ()
    assert available_heads(versions.previous().weights) == ("rotation",)


@pytest.fixture
def outcome(untrained, items, source, tmp_path, monkeypatch):
    """Fine-tune without a training, with given Dice before and after; returns the version."""

    def outcome(before, after, *, meanwhile=None, items=items, **changes):
        scores = iter([before, after])

        def measured(*_):
            score = next(scores)
            return {"disc": score, "cup": score, "mean": score}

        def train(*_):
            if meanwhile is not None:
                untrained.add(source, kind="imported", note=meanwhile)
            return source

        monkeypatch.setattr(fine_tuning, "_train", train)
        monkeypatch.setattr(fine_tuning, "measure_dice", measured)
        settings = dataclasses.replace(QUICK, **changes)
        return fine_tune(untrained, items, settings, work=tmp_path / "work")

    return outcome


@pytest.mark.parametrize(
    ("publish", "before", "after", "is_published"),
    [
        ("if_not_worse", 0.8, 0.9, True),
        ("if_not_worse", 0.8, 0.7951, True),
        ("if_not_worse", 0.8, 0.7949, False),
        ("always", 0.8, 0.1, True),
        ("never", 0.8, 0.9, False),
    ],
)
def test_what_is_published(outcome, untrained, publish, before, after, is_published):
    version = outcome(before, after, publish=publish)
    assert version.name == "v0002"
    assert version.info["published"] is is_published
    assert untrained.current().name == ("v0002" if is_published else "v0001")


def test_a_model_that_others_chose_meanwhile_is_not_replaced(outcome, untrained, caplog):
    version = outcome(0.8, 0.9, meanwhile="better data")
    assert version.name == "v0003"
    assert version.info["parent"] == "v0001"
    assert version.info["published"] is False
    assert untrained.current().info["note"] == "better data"
    assert "v0002 became current while v0001 was fine-tuned" in caplog.text


def test_a_broken_label_does_not_stop_the_others(outcome, items, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(items[1].label.read_bytes()[:60])
    version = outcome(
        0.8, 0.9, items=[items[0], dataclasses.replace(items[1], label=broken), *items[2:]]
    )
    assert version.info["images"] == 3
    (line,) = version.info["skipped"]
    assert line.startswith("eye 1: ")
    assert "broken.png" in line


def test_too_few_labels(untrained, items, tmp_path):
    with pytest.raises(ValueError, match=r"at least two labeled images\. Got 1"):
        fine_tune(untrained, items[:1], QUICK, work=tmp_path / "work")
    assert not (tmp_path / "work").exists()
    missing = dataclasses.replace(items[3], label=tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"of 2 given 1 can be used.*\n  eye 3: .*nowhere\.png"):
        fine_tune(untrained, [items[0], missing], QUICK, work=tmp_path / "work")
    assert len(untrained.all()) == 1


def test_no_model_to_start_from(items, tmp_path):
    with pytest.raises(FileNotFoundError, match="grata-monai label init"):
        fine_tune(ModelVersions(tmp_path / "model"), items, QUICK, work=tmp_path / "work")


def test_a_folder_with_files_in_it_is_not_touched(untrained, items, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="work of a fine-tuning must be new or empty"):
        fine_tune(untrained, items, QUICK, work=tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["thesis.txt"]


def test_a_failed_training_keeps_its_files_and_log(untrained, items, tmp_path, monkeypatch):
    def fail(*_, **__):
        try:
            raise MemoryError("no room for the batch")
        except MemoryError as error:
            raise RuntimeError("Failed to evaluate the expression") from error

    monkeypatch.setattr(fine_tuning, "run_workflow", fail)
    work = tmp_path / "work"
    with pytest.raises(RuntimeError, match=rf"no room for the batch .*kept in {work}"):
        fine_tune(untrained, items, QUICK, work=work)
    log = (work / "training.log").read_text()
    assert "MemoryError: no room for the batch" in log
    assert sorted(path.name for path in (work / "masks").iterdir()) == [
        f"{number:05d}.png" for number in range(4)
    ]
    assert [version.name for version in untrained.all()] == ["v0001"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda:99"}, "The device 'cuda:99' cannot be used"),
        ({"learning_rate": 1e30, "epochs": 2}, "numbers that are not finite"),
    ],
)
def test_a_training_that_cannot_succeed(untrained, items, tmp_path, changes, message):
    settings = dataclasses.replace(QUICK, **changes)
    with pytest.raises(ValueError, match=message):
        fine_tune(untrained, items[:2], settings, work=tmp_path / "work")
    assert (tmp_path / "work" / "training.log").is_file()
    assert [version.name for version in untrained.all()] == ["v0001"]


def test_dice_of_masks_without_a_cup(untrained, eyes, tmp_path):
    """A structure that is neither labeled nor seen counts as found, as in the bundle."""
    network = ResUNet34()
    with torch.no_grad():
        *_, weight, bias = network.parameters()
        weight.zero_()
        bias.copy_(torch.tensor([1.0, -1.0]))
    save_source_weights(network, tmp_path / "all_disc.pt")
    image, labels = eyes[0]
    Image.fromarray(image).save(tmp_path / "eye.png")
    write_label(tmp_path / "mask.png", np.where(labels > 0, 128, 255))
    items = [{"image": str(tmp_path / "eye.png"), "label": str(tmp_path / "mask.png")}]
    dice = measure_dice(tmp_path / "all_disc.pt", items, QUICK)
    share = (labels > 0).mean()
    assert dice["disc"] == pytest.approx(2 * share / (1 + share), abs=1e-5)
    assert dice["cup"] == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("learning_rate", -1.0),
        ("learning_rate", "fast"),
        ("momentum", 1.0),
        ("batch_size", 0),
        ("validation", 1.0),
        ("seed", -1),
        ("image_size", 100),
        ("roi_size", 0),
        ("freeze_statistics", 1),
        ("whole", "yes"),
        ("publish", "maybe"),
        ("num_workers", -1),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"'{name}'"):
        FineTuning(**{name: value})
