# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures with the window and the center."""

from __future__ import annotations

import numpy as np

from grata_monai.imaging.overlay import CUP_COLOR, DISC_COLOR
from grata_monai.localization import DiscLocation, draw_location


def test_window_and_center_are_where_they_belong():
    photograph = np.full((200, 400, 3), 50, dtype=np.uint8)
    found = DiscLocation(150.0, 240.0, 0.5, "classical")
    picture = draw_location(photograph, found, roi_size=80, side=200)
    assert picture.shape == (200, 200, 3)
    # half the size: the center at (75, 120), the window from (55, 100) to (95, 140)
    assert tuple(picture[75, 120]) == CUP_COLOR
    for row, column in ((55, 110), (95, 110), (65, 100), (65, 140)):
        assert tuple(picture[row, column]) == DISC_COLOR
    assert (picture[100:] == 0).all()  # below the photograph
    assert (photograph == 50).all()


def test_a_window_over_the_border_and_a_long_title():
    photograph = np.full((100, 100, 3), 50, dtype=np.uint8)
    found = DiscLocation(0.0, 0.0, 0.5, "classical")
    picture = draw_location(photograph, found, roi_size=800, side=64, title="name " * 50)
    assert tuple(picture[0, 0]) == CUP_COLOR
