# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The way of a fundus photograph and its mask from the files to the network."""

from __future__ import annotations

from collections.abc import Sequence

from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import ScaleIntensityd

from grata_monai.transforms.crop import CropDiscRegiond
from grata_monai.transforms.labels import DecodeFundusLabeld
from grata_monai.transforms.reading import LoadFundusd
from grata_monai.transforms.resize import ResizeFundusd


def fundus_preprocessing(
    *,
    size: int | Sequence[int] = 512,
    roi_size: int = 800,
    keys: Sequence[str] = ("image", "label"),
    center_key: str = "disc_center",
) -> Compose:
    """Return the transforms from paths to network input and target.

    Load; cut the region around the disc if the item has a center; resize (image bicubic, mask
    nearest); rescale the image to [0, 1] by its minimum and maximum over all channels; decode the
    mask. Items may lack the mask. ``Invertd(keys="pred", orig_keys="image", transform=...)`` takes
    a prediction back into the full photograph. MONAI wraps errors of a step in a RuntimeError; the
    message that names the file is its ``__cause__``.

    Args:
        size: Height and width of the network input, or one number for both; 512 as in the paper.
        roi_size: Side of the region in pixels of the photograph; 800 as in the paper.
        keys: Keys of the image and, if any, of the mask.
        center_key: Key of the disc's (row, column).

    Returns:
        Transforms of items {"image": path, "label": path, "disc_center": (row, column)} into
        float32 images 3xHxW in [0, 1] and float32 masks 2xHxW (disc, cup).

    Raises:
        ValueError: If there are not one or two keys.
    """
    if isinstance(keys, str) or len(keys) not in {1, 2}:
        raise ValueError(
            "The 'keys' parameter of fundus_preprocessing must be (image key,) or "
            f"(image key, mask key). Got {keys!r}."
        )
    image, masks = keys[0], tuple(keys[1:])
    fills, modes = (0, 255)[: len(keys)], ("bicubic", "nearest")[: len(keys)]
    steps = [LoadFundusd(image)]
    if masks:
        steps += [LoadFundusd(masks, kind="mask", same_size_as=image, allow_missing_keys=True)]
    steps += [
        CropDiscRegiond(
            keys, center_key=center_key, roi_size=roi_size, fill=fills, allow_missing_keys=True
        ),
        ResizeFundusd(keys, size=size, mode=modes, allow_missing_keys=True),
        ScaleIntensityd(image),
    ]
    if masks:
        steps += [DecodeFundusLabeld(masks, allow_missing_keys=True)]
    return Compose(steps)
