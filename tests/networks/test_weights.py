# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of loading and converting source models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from grata_monai.networks import (
    HEAD_NAMES,
    ResUNet34,
    SourceWeights,
    WithHeads,
    build_heads,
    convert_weights,
    load_source_weights,
    match_weights,
    read_weights,
    source_network,
)

COUNTER = "num_batches_tracked"


def weights_of(network, kind="native"):
    """What reading a checkpoint of a network gives, without a file."""
    state = {n.removeprefix("network."): v for n, v in network.state_dict().items()}
    return SourceWeights(Path("a.pth"), kind, state, ())


def with_heads_on_meta(*names):
    with torch.device("meta"):
        return WithHeads(ResUNet34(), build_heads(names))


def half(network):
    return {n: v.half() if v.is_floating_point() else v for n, v in network.state_dict().items()}


def assert_half_precision_copy(network, original):
    """All tensors are those of the original, rounded to half precision and back."""
    expected = {n: v.half().float() if v.is_floating_point() else v for n, v in original.items()}
    torch.testing.assert_close(dict(network.state_dict()), dict(expected), rtol=0, atol=0)


def test_the_authors_format_with_all_heads(reference_file, with_heads):
    network = source_network(reference_file, heads=HEAD_NAMES)
    assert_half_precision_copy(network, with_heads.state_dict())


def test_the_authors_format_without_heads(reference_file, with_heads):
    network = ResUNet34()
    report = load_source_weights(network, reference_file)
    assert_half_precision_copy(network, with_heads.network.state_dict())
    assert report.kind == "reference"
    assert len(report.taken) == 261
    assert report.missing == ()
    assert report.dropped[:2] == ("res.fc.weight", "res.fc.bias")
    assert {name.split(".")[1] for name in report.dropped[2:]} == set(HEAD_NAMES)
    assert "261 tensors" in str(report)
    assert "dropped 102 tensors (res.fc, heads.reconstruction" in str(report)
    assert "missing 0 tensors" in str(report)


def test_our_format_survives_wrapping_and_nesting(tmp_path, with_heads):
    state = {f"module.{name}": value for name, value in half(with_heads).items()}
    torch.save({"model": state, "optimizer": {}}, tmp_path / "a.pt")
    network = WithHeads(ResUNet34(), build_heads(["denoising"]))
    report = load_source_weights(network, tmp_path / "a.pt")
    expected = {n: v for n, v in with_heads.state_dict().items() if n in network.state_dict()}
    assert_half_precision_copy(network, expected)
    assert "optimizer" in report.dropped
    assert any(name.startswith("heads.rotation") for name in report.dropped)
    assert not any(name.startswith("heads.denoising") for name in report.dropped)


def test_an_imagenet_encoder_leaves_decoder_and_heads_as_they_were(tmp_path, network):
    encoder = {n: v for n, v in network.encoder.state_dict().items() if COUNTER not in n}
    torch.save({**encoder, "fc.weight": torch.ones(10, 512)}, tmp_path / "resnet34.pth")
    fresh = WithHeads(ResUNet34(), build_heads(["rotation"]))
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    report = load_source_weights(fresh, tmp_path / "resnet34.pth")
    assert report.kind == "encoder"
    assert report.dropped == ("fc.weight",)
    assert "output.weight" in report.missing
    assert "heads.rotation.layers.0.weight" in report.missing
    assert not any(name.startswith("encoder.") for name in report.missing)
    for name, value in fresh.state_dict().items():
        if COUNTER in name:
            continue
        inside = name.startswith("network.encoder.")
        expected = encoder[name.removeprefix("network.encoder.")] if inside else before[name]
        assert torch.equal(value, expected), name


def test_resnets_of_other_depths_are_refused(network, meta_network):
    source = weights_of(network, "encoder")
    state = {n: v for n, v in source.state_dict.items() if n.startswith("encoder.")}
    shallow = {n: v for n, v in state.items() if not n.startswith("encoder.layer1.2.")}
    with pytest.raises(ValueError, match=r"10 missing \(encoder\.layer1\.2\.conv1\.weight"):
        match_weights(meta_network, SourceWeights(source.path, "encoder", shallow, ()))
    deep = {**state, "encoder.layer1.0.conv3.weight": torch.ones(1)}
    with pytest.raises(ValueError, match=r"1 unexpected \(encoder\.layer1\.0\.conv3\.weight\)"):
        match_weights(meta_network, SourceWeights(source.path, "encoder", deep, ()))


def test_heads_that_the_file_lacks_are_an_error(network):
    target = with_heads_on_meta("rotation", "denoising")
    with pytest.raises(
        ValueError, match=r"a\.pth has no weights for the heads denoising, rotation"
    ):
        match_weights(target, weights_of(network))


def test_heads_that_the_file_lacks_can_be_left_as_they_are(network):
    report = match_weights(with_heads_on_meta("rotation"), weights_of(network), strict=False)
    assert len(report.taken) == 261
    assert {name.split(".")[1] for name in report.missing} == {"rotation"}


def test_a_head_cut_in_half_is_an_error(with_heads):
    source = weights_of(with_heads)
    del source.state_dict["heads.rotation.layers.2.bias"]
    with pytest.raises(ValueError, match=r"1 missing \(heads\.rotation\.layers\.2\.bias\)"):
        match_weights(with_heads_on_meta(*HEAD_NAMES), source)


def test_missing_and_unexpected_tensors_are_named(network, meta_network):
    source = weights_of(network)
    del source.state_dict["output_norm.bias"]
    source.state_dict["prompt.weight"] = torch.ones(1)
    with pytest.raises(ValueError, match=r"1 missing \(output_norm\.bias\), 1 unexp.*\(prompt\.w"):
        match_weights(meta_network, source)
    report = match_weights(meta_network, source, strict=False)
    assert report.missing == ("output_norm.bias",)
    assert report.dropped == ("prompt.weight",)


@pytest.mark.parametrize("strict", [True, False])
def test_other_shapes_are_refused(network, meta_network, strict):
    source = weights_of(network)
    source.state_dict["output.bias"] = torch.ones(5)
    source.state_dict["up5.bias"] = torch.ones(32, dtype=torch.int64)
    with pytest.raises(
        ValueError, match=r"2 tensors of another.*output\.bias \[5\] instead of \[2\]"
    ):
        match_weights(meta_network, source, strict=strict)


def test_a_network_is_not_changed_by_a_file_that_does_not_fit(tmp_path):
    torch.save(
        {"encoder.conv1.weight": torch.ones(2), "output.bias": torch.ones(2)}, tmp_path / "a"
    )
    fresh = ResUNet34()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    for strict in (True, False):
        with pytest.raises(ValueError, match=r"a.*(does not fit|another shape)"):
            load_source_weights(fresh, tmp_path / "a", strict=strict)
    torch.testing.assert_close(dict(fresh.state_dict()), before, rtol=0, atol=0)


def test_a_network_without_weights():
    with torch.device("meta"):
        assert type(source_network()) is ResUNet34
        wrapped = source_network(None, heads=["rotation"])
    assert isinstance(wrapped, WithHeads)
    assert list(wrapped.heads) == ["rotation"]


def test_conversion_keeps_heads_and_reads_back(tmp_path, reference_file):
    report = convert_weights(reference_file, tmp_path / "new" / "model.pt")
    assert report.dropped == ("res.fc.weight", "res.fc.bias")
    back = read_weights(tmp_path / "new" / "model.pt")
    original = read_weights(reference_file)
    assert back.kind == "native"
    assert back.heads == HEAD_NAMES
    torch.testing.assert_close(back.state_dict, original.state_dict, rtol=0, atol=0)


def test_conversion_without_heads_loads_by_pytorch_alone(tmp_path, reference_file):
    convert_weights(reference_file, tmp_path / "model.pt", heads=False)
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    with torch.device("meta"):
        network = ResUNet34()
    network.load_state_dict(state, assign=True)
    assert all(v.dtype == torch.float32 for n, v in state.items() if COUNTER not in n)


def test_conversion_of_an_encoder_writes_the_encoder_only(tmp_path, network):
    torch.save(network.encoder.state_dict(), tmp_path / "resnet34.pth")
    report = convert_weights(tmp_path / "resnet34.pth", tmp_path / "model.pt")
    assert "output.bias" in report.missing
    back = read_weights(tmp_path / "model.pt")
    assert back.kind == "encoder"
    assert all(name.startswith("encoder.") for name in back.state_dict)


def test_conversion_that_fails_leaves_the_old_file(tmp_path):
    torch.save(
        {"encoder.conv1.weight": torch.ones(2), "output.bias": torch.ones(2)}, tmp_path / "a"
    )
    (tmp_path / "model.pt").write_text("old")
    with pytest.raises(ValueError, match="does not fit ResUNet34"):
        convert_weights(tmp_path / "a", tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "model.pt"]


@pytest.mark.real
def test_a_real_checkpoint_of_the_authors_format(real_data):
    path = real_data / "models" / "last-Res_Unet.pth"
    found = read_weights(path)
    report = match_weights(with_heads_on_meta(*HEAD_NAMES), found)
    assert found.kind == "reference"
    assert report.dropped == ("res.fc.weight", "res.fc.bias")
    assert report.missing == ()
    assert len(report.taken) == 361


def test_modules_of_another_class_are_told_what_is_missing(network):
    with pytest.raises(ValueError, match=r"does not fit Conv2d: 2 missing \(weight, bias\), 261"):
        match_weights(nn.Conv2d(1, 1, 1), weights_of(network))
