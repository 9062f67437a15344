# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: pieces by hand, and the whole of it as small as it gets."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from grata_monai.bundle.demo import METHODS, Demo, verdict
from grata_monai.cli.main import main


def table(**means):
    rows = [
        {"domain": domain, "method": method, "mean": mean}
        for domain, values in means.items()
        for method, mean in zip(METHODS.values(), values, strict=True)
    ]
    return pd.DataFrame(rows)


def test_verdict_names_the_winners_whoever_they_are():
    home, far, near = verdict(
        table(
            Home=(90, 89, 89, 89, 89),
            Far=(70, 80.2, 81, 80.95, 79),
            Near=(88, 85, 85, 86, 87),
        ),
        "Home",
    )
    assert "90.0 Dice points at home" in home
    assert "Far: 70.0 without adaptation (-20.0 to home); best: TENT, GraTa with 81.0" in far
    assert "TENT +0.80, GraTa +0.75." in far
    assert "Near: 88.0 without adaptation (-2.0 to home); best: No Adapt with 88.0 (+0.0)" in near


@pytest.mark.slow
def test_the_whole_demo(tmp_path):
    demo = Demo(
        tmp_path,
        targets=("Synthetic_C",),
        image_size=64,
        training_images=10,
        test_images=2,
        epochs=1,
    )
    scores = demo.run()
    assert list(scores["method"]) == list(METHODS.values()) * 2
    assert scores["mean"].between(0, 100).all()
    assert (tmp_path / "table.csv").is_file()
    sheet = Image.open(tmp_path / "Synthetic_C.png")
    assert sheet.width > 5 * 256


def test_help():
    result = CliRunner().invoke(main, ["demo", "--help"])
    assert result.exit_code == 0
    assert "--epochs" in result.output
