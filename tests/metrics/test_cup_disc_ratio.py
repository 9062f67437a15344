# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the vertical cup-to-disc ratio."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from scipy.ndimage import find_objects

from grata_monai.metrics import (
    VerticalCupDiscRatio,
    VerticalCupDiscRatioHandler,
    vertical_cup_disc_ratio,
    vertical_extent,
)


def make_masks(disc_rows, cup_rows, *, height=16, width=12):
    """Rectangles that span the given half-open ranges of rows (None: empty)."""
    masks = torch.zeros(2, height, width)
    for mask, rows in zip(masks, (disc_rows, cup_rows), strict=True):
        if rows is not None:
            mask[rows[0] : rows[1], 3:9] = 1
    return masks


def test_extent_agrees_with_scipy_bounding_boxes():
    random = np.random.default_rng(0)
    masks = random.random((20, 17, 9)) > 0.985
    expected = []
    for mask in masks:
        box = find_objects(mask.astype(int))
        expected.append(box[0][0].stop - box[0][0].start if box else 0)
    assert 0 in expected
    assert len(set(expected)) > 5
    assert vertical_extent(torch.from_numpy(masks)).tolist() == expected


def test_extent_counts_rows_not_columns():
    mask = torch.zeros(1, 6, 9)
    mask[0, 2, :] = 1
    assert vertical_extent(mask).tolist() == [1.0]


@pytest.mark.parametrize(
    ("disc", "cup", "expected"),
    [((2, 12), (4, 9), 0.5), ((2, 12), None, 0.0), ((2, 12), (0, 15), 1.5), ((3, 4), (3, 4), 1.0)],
)
def test_ratio(disc, cup, expected):
    assert vertical_cup_disc_ratio(make_masks(disc, cup)[None]).item() == pytest.approx(expected)


def test_ratio_without_disc_is_nan_also_with_a_cup():
    masks = torch.stack([make_masks(None, None), make_masks(None, (2, 4))])
    assert torch.isnan(vertical_cup_disc_ratio(masks)).tolist() == [True, True]


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 3, 8, 8), (1, 2, 8, 8, 8)])
def test_ratio_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match="must be Bx2xHxW"):
        vertical_cup_disc_ratio(torch.zeros(shape))


def test_errors_per_image_and_mean_over_images_with_a_disc():
    label = torch.stack(
        [
            make_masks((0, 10), (2, 7)),  # 0.5
            make_masks((0, 10), (2, 6)),  # 0.4
            make_masks(None, None),  # no ratio
        ]
    )
    prediction = torch.stack(
        [
            make_masks((0, 8), (1, 7)),  # 0.75
            make_masks(None, None),  # counts as 0
            make_masks((0, 8), (0, 4)),
        ]
    )
    metric = VerticalCupDiscRatio()
    errors = metric(prediction, label)
    assert errors.shape == (3, 1)
    assert errors[:2, 0].tolist() == pytest.approx([0.25, 0.4])
    assert torch.isnan(errors[2, 0])
    assert metric.aggregate().item() == pytest.approx(0.325)
    assert metric.aggregate("none").shape == (3, 1)


def test_accumulates_batches_and_lists_and_resets():
    metric = VerticalCupDiscRatio()
    label = make_masks((0, 10), (2, 7))
    metric([make_masks((0, 10), (0, 10))], [label])
    metric(label[None], label[None])
    assert metric.aggregate().item() == pytest.approx(0.25)
    metric.reset()
    with pytest.raises(ValueError, match="has seen no image"):
        metric.aggregate()


def test_needs_labels_of_the_same_shape():
    with pytest.raises(ValueError, match=r"Got \(1, 2, 4, 4\)"):
        VerticalCupDiscRatio()(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match="Got None"):
        VerticalCupDiscRatio()(torch.zeros(1, 2, 8, 8))


def test_handler_publishes_mean_and_details_of_an_evaluator():
    label = torch.stack([make_masks((0, 10), (2, 7)), make_masks((0, 10), (2, 6))])
    items = [{"image": mask[None], "label": mask[None]} for mask in label]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=items,
        network=torch.nn.Identity(),
        inferer=lambda images, network: torch.zeros_like(images),
        key_val_metric={
            "vcdr": VerticalCupDiscRatioHandler(output_transform=from_engine(["pred", "label"]))
        },
    )
    evaluator.run()
    assert evaluator.state.metrics["vcdr"] == pytest.approx(0.45)
    details = evaluator.state.metric_details["vcdr"]
    assert details[:, 0].tolist() == pytest.approx([0.5, 0.4])
