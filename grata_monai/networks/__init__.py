# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's network, its self-supervised heads, and the weights of source models."""

from __future__ import annotations

from grata_monai.networks.heads import HEAD_NAMES, WithHeads, build_heads
from grata_monai.networks.resunet import ResUNet34
from grata_monai.networks.source_weights import SourceWeights, available_heads, read_weights
from grata_monai.networks.weight_names import native_name, reference_name, to_reference_keys
from grata_monai.networks.weights import (
    WeightsReport,
    convert_weights,
    load_source_weights,
    match_weights,
    source_network,
)

__all__ = [
    "HEAD_NAMES",
    "ResUNet34",
    "SourceWeights",
    "WeightsReport",
    "WithHeads",
    "available_heads",
    "build_heads",
    "convert_weights",
    "load_source_weights",
    "match_weights",
    "native_name",
    "read_weights",
    "reference_name",
    "source_network",
    "to_reference_keys",
]
