# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI's own checks of a bundle, without network access."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

from grata_monai.networks import source_network
from grata_monai.training import save_source_weights
from tests.bundle.conftest import BUNDLE, CONFIGS, SIZE
from tests.bundle.test_layout import REQUIRED_KEYS, TENSOR_KEYS, read

META, INFERENCE = str(CONFIGS / "metadata.json"), str(CONFIGS / "inference.json")


@pytest.fixture
def schema(tmp_path):
    """The required keys of MONAI's schema; that of the zoo is not ours to copy."""
    tensors = {
        "type": "object",
        "additionalProperties": {"type": "object", "required": sorted(TENSOR_KEYS)},
    }
    content = {
        "type": "object",
        "required": sorted(REQUIRED_KEYS),
        "properties": {
            "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
            "network_data_format": {
                "type": "object",
                "required": ["inputs", "outputs"],
                "properties": {"inputs": tensors, "outputs": tensors},
            },
        },
    }
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(content))
    return path


def test_verify_metadata(schema):
    verify_metadata(meta_file=META, filepath=str(schema))


@pytest.mark.parametrize("key", ["required_packages_version", "copyright"])
def test_verify_metadata_notices_a_missing_key(schema, tmp_path, key):
    metadata = read("metadata")
    del metadata[key]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=f"'{key}' is a required property"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(schema))


@pytest.mark.parametrize("config", ["inference", "train"])
@pytest.mark.parametrize("n", [1, 3])
def test_verify_net_in_out(config, n):
    verify_net_in_out(
        net_id="network_def",
        meta_file=META,
        config_file=str(CONFIGS / f"{config}.json"),
        bundle_root=str(BUNDLE),
        device="cpu",
        n=n,
    )


@pytest.mark.parametrize("heads", [[], ["rotation"]])
def test_ckpt_export_gives_a_program_that_predicts_the_same(tmp_path, heads):
    torch.manual_seed(0)
    network = source_network(heads=heads).eval()
    save_source_weights(network, tmp_path / "model.pt")
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=META,
        config_file=INFERENCE,
        bundle_root=str(BUNDLE),
        heads=heads,
    )
    exported = torch.jit.load(tmp_path / "model.ts").eval()
    images = torch.rand(1, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.allclose(exported(images), network(images), atol=1e-5)
