# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Reading from memory, raw levels, EXIF orientation and DICOM."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.imaging import (
    ImageSource,
    exif_orientation,
    probe,
    read_levels,
    read_mask,
    read_photograph,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", **options)
    return ImageSource("in memory.png", buffer.getvalue())


def test_from_memory():
    source = png(Image.fromarray(PIXELS))
    assert np.array_equal(np.asarray(read_photograph(source)), PIXELS)
    assert probe(source) == ((12, 8), "RGB")
    with pytest.raises(ValueError, match=r"Cannot read the photograph half\.png"):
        read_photograph(ImageSource("half.png", source.data[:90]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_following_the_exif_orientation_turns_back_what_was_turned(orientation, caplog):
    stored = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    tag = Image.Exif()
    tag[0x0112] = orientation
    source = png(Image.fromarray(np.ascontiguousarray(stored)), exif=tag)
    assert exif_orientation(source) == orientation
    with caplog.at_level(logging.WARNING, logger="grata_monai"):
        assert np.array_equal(np.asarray(read_photograph(source, follow_exif=True)), PIXELS)
        assert np.array_equal(np.asarray(read_photograph(source, follow_exif=False)), stored)
    assert not caplog.text


def test_levels_as_stored():
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    palette = Image.fromarray(indices)
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert np.array_equal(read_levels(png(palette)), indices)
    deep = Image.fromarray(np.array([[0, 40000]], np.uint16))
    assert read_levels(png(deep)).tolist() == [[0, 40000]]
    widened = Image.fromarray(np.array([[0, 128 * 257, 65535]], np.uint16))
    assert read_levels(png(widened)).tolist() == [[0, 128, 255]]
    assert (
        read_levels(png(Image.fromarray(np.stack([indices] * 3, -1)))).tolist() == indices.tolist()
    )
    assert read_levels(png(Image.fromarray(indices > 0))).tolist() == [[0, 255, 255], [255, 255, 0]]
    with pytest.raises(ValueError, match="it has colors"):
        read_levels(png(Image.fromarray(PIXELS)))


def write_dicom(path, pixels, *, bits=8, photometric="RGB", frames=None):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if photometric == "RGB" else pixels.shape
    dataset.SamplesPerPixel = 3 if photometric == "RGB" else 1
    dataset.PhotometricInterpretation = photometric
    if photometric == "RGB":
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
    if frames:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.astype(np.uint8 if bits == 8 else np.uint16).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_dicom_photograph(tmp_path):
    path = write_dicom(tmp_path / "eye.dcm", PIXELS)
    assert np.array_equal(np.asarray(read_photograph(path)), PIXELS)
    assert np.array_equal(
        np.asarray(read_photograph(ImageSource("eye", path.read_bytes()))), PIXELS
    )
    assert probe(path) == ((12, 8), "RGB")
    assert fundus_datalist(tmp_path) == [{"image": str(path)}]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_grey_levels_of_twelve_bits(tmp_path, photometric):
    levels = np.array([[0, 4095, 2048], [1000, 17, 4000]])
    path = write_dicom(tmp_path / "eye.dcm", levels, bits=12, photometric=photometric)
    expected = np.rint(levels * 255 / 4095)
    expected = 255 - expected if photometric == "MONOCHROME1" else expected
    assert np.array_equal(np.asarray(read_mask(path)), expected)


def test_dicom_with_a_jpeg_frame(tmp_path):
    """As cameras write it: luminance and color apart, compressed."""
    path = write_dicom(tmp_path / "eye.dcm", PIXELS)
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit

    smooth = Image.fromarray(PIXELS).resize((48, 32), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    smooth.save(buffer, format="JPEG", quality=95)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.Rows, dataset.Columns = 32, 48
    dataset.PixelData = encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    expected = np.asarray(Image.open(buffer)).astype(int)
    assert np.abs(np.asarray(read_photograph(path)).astype(int) - expected).max() <= 2


def test_dicom_that_is_no_photograph(tmp_path):
    path = write_dicom(tmp_path / "two.dcm", np.stack([PIXELS, PIXELS]), frames=2)
    with pytest.raises(ValueError, match=r"two\.dcm: it holds 2 frames"):
        read_photograph(path)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"broken\.dcm: it is not a DICOM image"):
        read_photograph(broken)


def test_dicom_without_pydicom(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "eye.dcm", PIXELS)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ValueError, match=r"pip install 'grata-monai\[dicom\]'"):
        read_photograph(path)
