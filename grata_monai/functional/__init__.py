# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pure tensor functions: no modules, random numbers, files or modes."""

from __future__ import annotations

from grata_monai.functional.blur import gaussian_blur
from grata_monai.functional.bn_statistics import (
    Statistics,
    batch_statistics,
    median_statistics,
    mix,
    normalize,
)
from grata_monai.functional.entropy import binary_entropy, one_sided_entropy
from grata_monai.functional.gradients import (
    compute_gradients,
    cosine_similarity,
    gradient_norm,
)
from grata_monai.functional.intensity import (
    adjust_inverted_gamma,
    rescale_intensity,
    scale_brightness,
    scale_contrast,
)
from grata_monai.functional.lr_mappings import LR_MAPPINGS

__all__ = [
    "LR_MAPPINGS",
    "Statistics",
    "adjust_inverted_gamma",
    "batch_statistics",
    "binary_entropy",
    "compute_gradients",
    "cosine_similarity",
    "gaussian_blur",
    "gradient_norm",
    "median_statistics",
    "mix",
    "normalize",
    "one_sided_entropy",
    "rescale_intensity",
    "scale_brightness",
    "scale_contrast",
]
