# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The list of disc centers: there and back, as a datalist, and what is wrong with others' lists."""

from __future__ import annotations

import pytest
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.localization import DiscLocation, read_centers, write_centers

HEADER = "image,center_row,center_col\n"


@pytest.fixture
def images(tmp_path):
    files = [tmp_path / "raw" / "left" / "1.png", tmp_path / "raw" / "right" / "1.png"]
    for file in files:
        file.parent.mkdir(parents=True)
        Image.new("RGB", (60, 50)).save(file)
    return files


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "centers.csv"
        path.write_text(text)
        return path

    return write


def test_there_and_back(images, tmp_path):
    path = tmp_path / "lists" / "centers.csv"
    found = [
        DiscLocation(10.125, 20.0, 0.75, "classical"),
        DiscLocation(30.0, 40.0, 0.5, "network", note='odd, "very"'),
    ]
    write_centers(path, zip(images, found, strict=True))
    assert path.read_text().splitlines() == [
        "image,center_row,center_col,confidence,method,note",
        "../raw/left/1.png,10.12,20.00,0.750,classical,",
        '../raw/right/1.png,30.00,40.00,0.500,network,"odd, ""very"""',
    ]
    assert read_centers(path) == {
        "../raw/left/1.png": (10.12, 20.0),
        "raw/left/1.png": (10.12, 20.0),
        "left/1.png": (10.12, 20.0),
        "../raw/right/1.png": (30.0, 40.0),
        "raw/right/1.png": (30.0, 40.0),
        "right/1.png": (30.0, 40.0),
    }
    assert fundus_datalist(path) == [
        {"image": str(images[0]), "disc_center": (10.12, 20.0)},
        {"image": str(images[1]), "disc_center": (30.0, 40.0)},
    ]


def test_a_name_of_its_own_is_enough(write):
    path = write(HEADER + "a/1.png,1,2\na/2.png,3,4\n\n")
    centers = read_centers(path)
    assert centers["1"] == centers["1.png"] == centers["a/1.png"] == (1, 2)
    assert centers["2"] == (3, 4)


def test_lists_of_other_tools(write):
    path = write("\ufeffImage, X ,y,score\nfolder\\7.jpg,5.5,6,0.1\n")
    assert read_centers(path) == dict.fromkeys(("folder/7.jpg", "7.jpg", "7"), (6.0, 5.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,row\na.png,1\n", "line 1: it must name the columns .* Found: 'image', 'row'"),
        ("", "Found: nothing"),
        (HEADER, "lists no centers"),
        (HEADER + "a.png,1,2\n,3,4\n", "line 3: the column 'image' is empty"),
        (HEADER + "a.png,1,two\n", "line 2: 'center_col' must be a position .* Got 'two'"),
        (HEADER + "a.png,1\n", "line 2: 'center_col' must be a position .* Got ''"),
        (HEADER + "a.png,nan,2\n", "line 2: 'center_row' must be .* Got 'nan'"),
        ("image,x,y\na.png,-1,2\n", "line 2: 'x' must be a position in pixels, 0 or more"),
        (HEADER + "a.png,1,2\n\n./a.png,3,4\n", "lines 2 and 4: 'a.png' is listed twice"),
        (HEADER + "a,1,2\nf/a.png,3,4\n", r"'a' \(line 2\), 'f/a.png' \(line 3\). Give them ext"),
    ],
)
def test_says_what_is_wrong(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_centers(path)
    assert str(path) in str(caught.value)


def test_other_files_and_none(write, tmp_path):
    path = write("")
    path.write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(ValueError, match="is not a CSV file in UTF-8"):
        read_centers(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_centers(tmp_path / "none.csv")
