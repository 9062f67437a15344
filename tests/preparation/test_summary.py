# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers per domain against pictures whose numbers are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from grata_monai.imaging import write_png
from grata_monai.preparation.folder import ListedImage
from grata_monai.preparation.measurement import measure_image, measure_mask, rows_spanned
from grata_monai.preparation.summary import summarize_folder

SIDE = 64


def rectangles(disc=(16, 16, 32, 32), cup=(24, 20, 8, 16)):
    """Return a mask of rectangles (top, left, height, width)."""
    mask = np.full((SIDE, SIDE), 255, dtype=np.uint8)
    for (top, left, height, width), grey in ((disc, 128), (cup, 0)):
        mask[top : top + height, left : left + width] = grey
    return mask


def write(root, pictures, domain="D"):
    rows = []
    for number, (image, mask) in enumerate(pictures):
        write_png(image, root / domain / f"{number}.png")
        rows.append(f"{domain}/{number}.png,")
        if mask is not None:
            write_png(mask, root / domain / f"{number}_mask.png")
            rows[-1] += f"{domain}/{number}_mask.png"
    (root / f"{domain}.csv").write_text("image,mask\n" + "\n".join(rows) + "\n")
    return root


def flat(*color):
    return np.full((SIDE, SIDE, 3), color, dtype=np.uint8)


def summarize(root, **options):
    return summarize_folder(root, jobs=1, progress=False, **options)


def test_known_numbers(tmp_path):
    one, other = flat(100, 50, 20), flat(200, 70, 40)
    other[:, :16] = 3  # black: a quarter of the second image
    write(tmp_path, [(one, rectangles()), (other, rectangles(disc=(16, 20, 16, 32)))])
    row = summarize(tmp_path).table.iloc[0]
    assert (row["images"], row["train"], row["test"], row["measured"]) == (2, 0, 0, 2)
    assert row["sizes"] == "64x64 (2)"
    diameters = [2 * math.sqrt(area / math.pi) for area in (1024, 512)]
    assert row["disc_px_median"] == pytest.approx(sum(diameters) / 2)
    assert (row["disc_px_min"], row["disc_px_max"]) == pytest.approx(diameters[::-1])
    assert row["disc_share"] == pytest.approx(sum(diameters) / 2 / 64)
    assert row["area_ratio"] == pytest.approx((128 / 1024 + 128 / 512) / 2)
    assert row["vertical_ratio"] == pytest.approx((8 / 32 + 8 / 16) / 2)
    assert row["black_share"] == pytest.approx(1 / 8)
    # 4096 pixels of 100 and 3072 of 200
    red = np.repeat([100.0, 200.0], [4096, 3072])
    assert row["red_mean"] == pytest.approx(red.mean())
    assert row["red_std"] == pytest.approx(red.std())


def test_contrast_leaves_black_pixels_out():
    mask = rectangles()
    photograph = np.where(mask[..., None] < 255, flat(180, 180, 180), flat(60, 60, 60))
    assert measure_mask(mask, photograph).contrast == pytest.approx(120, abs=0.01)
    photograph[:, :16] = 0
    assert measure_mask(mask, photograph).contrast == pytest.approx(120, abs=0.01)


def test_contrast_ignores_what_is_far_away():
    mask = rectangles(disc=(24, 24, 16, 16), cup=(28, 28, 4, 4))
    photograph = flat(60, 60, 60)
    photograph[mask < 255] = 180
    photograph[:8] = photograph[-8:] = 255
    assert measure_mask(mask, photograph).contrast == pytest.approx(120, abs=0.01)


def test_mask_without_disc_and_without_cup():
    empty = measure_mask(np.full((8, 8), 255, np.uint8), np.zeros((8, 8, 3), np.uint8))
    assert math.isnan(empty.diameter)
    assert math.isnan(empty.vertical_ratio)
    mask = rectangles(cup=(0, 0, 0, 0))
    assert measure_mask(mask, flat(9, 9, 9)).vertical_ratio == 0
    assert math.isnan(measure_mask(mask, flat(9, 9, 9)).contrast)


def test_rows_spanned_counts_from_first_to_last():
    region = np.zeros((9, 3), dtype=bool)
    assert rows_spanned(region) == 0
    region[2, 1] = region[6, 0] = True
    assert rows_spanned(region) == 5


def test_vertical_ratio_is_the_one_that_is_scored(tmp_path):
    """The torch-free ratio against the package's metric."""
    import torch

    from grata_monai.data import paint_fundus
    from grata_monai.imaging import split_grey
    from grata_monai.metrics import vertical_cup_disc_ratio

    for seed in range(5):
        image, mask = paint_fundus("Synthetic_C", seed=seed, size=64)
        scored = vertical_cup_disc_ratio(torch.from_numpy(split_grey(mask))[None]).item()
        assert measure_mask(mask, image).vertical_ratio == pytest.approx(scored, rel=1e-6)


def test_images_without_masks(tmp_path):
    row = summarize(write(tmp_path, [(flat(9, 90, 9), None)])).table.iloc[0]
    assert row["masks"] == 0
    assert math.isnan(row["disc_px_median"])
    assert row["green_mean"] == 90


def test_what_cannot_be_measured_is_named(tmp_path):
    write(tmp_path, [(flat(100, 50, 20), rectangles())] * 3)
    (tmp_path / "D" / "0.png").write_bytes(b"")
    (tmp_path / "D" / "1_mask.png").unlink()
    found = summarize(tmp_path)
    assert list(found.problems) == ["D/0.png", "D/1.png"]
    assert found.table.iloc[0]["measured"] == 1
    for name in ("2.png", "2_mask.png"):
        (tmp_path / "D" / name).unlink()
    assert summarize(tmp_path).render().splitlines()[-1].split()[:3] == ["D", "3", "-"]


def test_mask_of_another_size(tmp_path):
    write_png(flat(90, 9, 9), tmp_path / "a.png")
    write_png(rectangles()[:-1], tmp_path / "b.png")
    row = ListedImage(root=tmp_path, domain="D", split="", line=2, image="a.png", mask="b.png")
    assert measure_image(row) == "b.png has another size than its image"


@pytest.fixture
def summary(tmp_path):
    for domain in ("RIM_ONE_r3", "REFUGE", "ORIGA", "REFUGE_Valid", "Drishti_GS"):
        write(tmp_path, [(flat(100, 150, 120), rectangles())] * 2, domain)
    image = Image.fromarray(flat(100, 150, 120)).resize((800, 800))
    image.save(tmp_path / "REFUGE_Valid" / "0.png")
    mask = Image.fromarray(rectangles()).resize((800, 800), Image.Resampling.NEAREST)
    mask.save(tmp_path / "REFUGE_Valid" / "0_mask.png")
    return summarize(tmp_path)


def test_text_fits_into_120_columns(summary):
    lines = summary.render().splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= 120


def test_markdown(summary):
    lines = summary.render("markdown").splitlines()
    assert lines[1].replace("-", "").replace("|", "").strip() == ""
    assert len({line.count("|") for line in lines}) == 1
    assert "| REFUGE_Valid | 2 | " in lines[-2]


def test_csv_and_json_have_full_precision(summary, tmp_path):
    (tmp_path / "table.csv").write_text(summary.render("csv"))
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table.columns) == list(summary.table.columns)
    assert np.allclose(table["disc_share"], summary.table["disc_share"], rtol=1e-12)
    rows = json.loads(summary.render("json"))
    assert rows[0]["domain"] == "Drishti_GS"
    assert rows[0]["red_mean"] == 100


def test_unknown_form(summary):
    with pytest.raises(ValueError, match="did you mean 'markdown'"):
        summary.render("markdwn")


def test_list_without_rows(tmp_path):
    (tmp_path / "D.csv").write_text("image,mask\n")
    with pytest.raises(ValueError, match="lists no images"):
        summarize(tmp_path)


@pytest.mark.real
def test_real_regions(real_data):
    """Diameters and counts against those measured before, with other code."""
    found = summarize_folder(real_data / "Fundus", progress=False)
    assert not found.problems
    table = found.table.set_index("domain")
    assert table["measured"].to_dict() == {"Drishti_GS": 101, "REFUGE": 160}
    assert table.loc["Drishti_GS", "disc_px_median"] == pytest.approx(360, abs=2)
    assert table.loc["Drishti_GS", "disc_px_min"] == pytest.approx(302, abs=1)
    assert table.loc["REFUGE", "disc_px_median"] == pytest.approx(304, abs=4)
    assert (table["contrast"] > 20).all()
