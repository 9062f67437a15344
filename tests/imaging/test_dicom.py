# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM photographs, with pydicom 2.4 as well as 3."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.imaging import ImageSource, probe, read_mask, read_photograph

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)


def write_dicom(path, pixels, *, bits=8, photometric="RGB", frames=None):
    color = not photometric.startswith("MONOCHROME")
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if color else pixels.shape
    dataset.SamplesPerPixel = 3 if color else 1
    dataset.PhotometricInterpretation = photometric
    if color:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
    if frames:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.astype(np.uint8 if bits == 8 else np.uint16).tobytes()
    if pydicom.__version__.startswith("2."):
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.save_as(path, write_like_original=False)
    else:
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


def test_dicom_of_luminance_and_color_apart(tmp_path):
    """PS3.3 C.7.6.3.1.2: for YBR_FULL red is Y + 1.402 (Cr - 128), and so on."""
    apart = np.array([[[90, 90, 120], [120, 128, 128]], [[150, 140, 60], [200, 110, 160]]])
    expected = np.stack(
        [
            apart[..., 0] + 1.402 * (apart[..., 2] - 128),
            apart[..., 0] - 0.344136 * (apart[..., 1] - 128) - 0.714136 * (apart[..., 2] - 128),
            apart[..., 0] + 1.772 * (apart[..., 1] - 128),
        ],
        axis=-1,
    ).clip(0, 255)
    path = write_dicom(tmp_path / "eye.dcm", apart, photometric="YBR_FULL")
    assert np.abs(np.asarray(read_photograph(path)) - expected).max() <= 1


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
