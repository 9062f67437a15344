# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Random changes of the training images; what moves an image moves its label."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monai.transforms import (
    Compose,
    Rand2DElasticd,
    RandFlipd,
    RandGaussianNoised,
    RandRotated,
    RandScaleIntensityd,
    RandZoomd,
)

from grata_monai._checks import check_number

GREY_LEVELS = 255.0
MAX_ROTATION = math.radians(15)
ZOOM = (0.75, 1.25)
BRIGHTNESS = (0.7, 1.5)
NOISE_STD = 0.05


def source_augmentation(
    size: int, *, image_key: str = "image", label_key: str = "label", seed: int = 0
) -> Compose:
    """Return the augmentation of the source models' training, for single images CxHxW.

    Elastic deformation (probability 0.1), rotation within 15 degrees (0.1), zoom 0.75 to 1.25
    (0.1), each axis flipped (0.5), each color channel times U(0.7, 1.5) (0.15), Gaussian noise
    with a standard deviation of U(0, 0.05) of the grey range (0.15). New pixels are 0. Images are
    interpolated bilinearly, labels take their nearest neighbor, so 0/1 masks stay 0/1.

    Args:
        size: Side of the images in pixels, at least 16; the elastic deformation scales with it.
        image_key: Key of the image, float in 0..255; normalize after the augmentation.
        label_key: Key of the label; an item without it is augmented all the same.
        seed: Seed of all draws.

    Returns:
        A dictionary transform with its own random state.

    Raises:
        ValueError: If ``size`` is out of range.

    Reference:
        Z. Chen et al., VPTTA, CVPR 2024 (training code, on batchgenerators).

    Differs from the reference code: labels move with their images (there they did not, because
    the transforms looked for them under another key); noise is relative to the grey range (there
    0.05 grey levels, which no one can see); the elastic deformation and the interpolation of
    images are MONAI's (there splines of order 3).
    """
    check_number("source_augmentation", "size", size, minimum=16, integer=True)
    keys = [image_key, label_key]
    low, high = (factor - 1.0 for factor in BRIGHTNESS)
    augmentation = Compose(
        [
            *_spatial(size, keys),
            RandFlipd(keys, prob=0.5, spatial_axis=0, allow_missing_keys=True),
            RandFlipd(keys, prob=0.5, spatial_axis=1, allow_missing_keys=True),
            RandScaleIntensityd(image_key, factors=(low, high), prob=0.15, channel_wise=True),
            RandGaussianNoised(image_key, prob=0.15, std=NOISE_STD * GREY_LEVELS, sample_std=True),
        ]
    )
    return augmentation.set_random_state(seed=seed)


def _spatial(size: int, keys: Sequence[str]) -> list[object]:
    modes = ("bilinear", "nearest")
    return [
        Rand2DElasticd(
            keys,
            spacing=(size / 8, size / 8),
            magnitude_range=(0.0, size / 32),
            prob=0.1,
            mode=modes,
            padding_mode="zeros",
            allow_missing_keys=True,
        ),
        RandRotated(
            keys,
            range_x=MAX_ROTATION,
            prob=0.1,
            mode=modes,
            padding_mode="zeros",
            allow_missing_keys=True,
        ),
        RandZoomd(
            keys,
            min_zoom=ZOOM[0],
            max_zoom=ZOOM[1],
            prob=0.1,
            mode=modes,
            padding_mode="constant",
            allow_missing_keys=True,
        ),
    ]
