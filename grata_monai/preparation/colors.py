# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The usual colors of a domain: numbers to keep beside a source model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from grata_monai.data import FundusItem
from grata_monai.transforms import fundus_preprocessing


class DomainColors(NamedTuple):
    """Mean over images of each channel's mean and of its deviation, in units of network input."""

    source_mean: tuple[float, ...]
    source_std: tuple[float, ...]
    images: int


def domain_colors(
    items: Sequence[FundusItem],
    *,
    image_size: int = 512,
    roi_size: int = 800,
    progress: bool = False,
) -> DomainColors:
    """Return the colors of images as a network sees them; what ``StatisticsChoice`` asks for.

    Args:
        items: MONAI datalist; masks are not read.
        image_size: Side of the network's input in pixels.
        roi_size: Side of the region around the disc in pixels of the photograph, where the items
            have its center.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If there are no items.
    """
    if not items:
        raise ValueError("There are no images to take colors from.")
    preprocess = fundus_preprocessing(size=image_size, roi_size=roi_size, keys=("image",))
    found = []
    for item in tqdm(items, desc="colors", unit="image", disable=not progress):
        bare = {key: value for key, value in item.items() if key != "label"}
        pixels = np.asarray(preprocess(bare)["image"], dtype=np.float64)
        pixels = pixels.reshape(len(pixels), -1)
        found.append((pixels.mean(axis=1), pixels.std(axis=1)))
    mean, deviation = np.mean(found, axis=0).tolist()
    return DomainColors(tuple(mean), tuple(deviation), len(items))
