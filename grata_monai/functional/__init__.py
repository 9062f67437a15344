# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pure tensor functions: no modules, random numbers, files or modes."""

from __future__ import annotations

from grata_monai.functional.adaptive_mixing import (
    adaptive_source_share,
    instance_statistics,
    rectified_affine,
)
from grata_monai.functional.blur import gaussian_blur
from grata_monai.functional.bn_statistics import (
    Statistics,
    batch_statistics,
    median_statistics,
    mix,
    normalize,
)
from grata_monai.functional.class_views import CLASS_VIEWS, ClassView, nested_probabilities
from grata_monai.functional.ensembles import (
    balanced_entropy,
    mean_entropy,
    min_max,
    mixture_logits,
)
from grata_monai.functional.entropy import (
    binary_entropy,
    generalized_entropy,
    one_sided_entropy,
    spread_temperature,
    symmetric_kl,
)
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
from grata_monai.functional.momentum import decayed_momentum
from grata_monai.functional.prototypes import (
    Prototypes,
    masked_prototypes,
    merge_prototypes,
    prototype_scores,
)

__all__ = [
    "CLASS_VIEWS",
    "LR_MAPPINGS",
    "ClassView",
    "Prototypes",
    "Statistics",
    "adaptive_source_share",
    "adjust_inverted_gamma",
    "balanced_entropy",
    "batch_statistics",
    "binary_entropy",
    "compute_gradients",
    "cosine_similarity",
    "decayed_momentum",
    "gaussian_blur",
    "generalized_entropy",
    "gradient_norm",
    "instance_statistics",
    "masked_prototypes",
    "mean_entropy",
    "median_statistics",
    "merge_prototypes",
    "min_max",
    "mix",
    "mixture_logits",
    "nested_probabilities",
    "normalize",
    "one_sided_entropy",
    "prototype_scores",
    "rectified_affine",
    "rescale_intensity",
    "scale_brightness",
    "scale_contrast",
    "spread_temperature",
    "symmetric_kl",
]
