# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Small valid files of every format that is read."""

from __future__ import annotations

import functools
import gzip
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, features

from grata_monai.label import label_files

SIDE = 12


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@functools.cache
def images() -> tuple[bytes, ...]:
    """Return files of every image format and of many kinds of pixels."""
    color = Image.fromarray(_pixels(SIDE, SIDE, 3))
    grey = Image.fromarray(_pixels(SIDE, SIDE))
    deep = Image.fromarray(_pixels(SIDE, SIDE).astype(np.uint16) * 257)
    mask = Image.fromarray(np.tile(np.repeat(np.uint8([255, 128, 0]), 4), (SIDE, 1)))
    turned = Image.Exif()
    turned[0x0112] = 6
    found = [encoded(image, "PNG") for image in (color, grey, deep, mask, grey.convert("1"))]
    found += [encoded(color.convert(mode), "PNG") for mode in ("P", "RGBA", "LA")]
    found += [encoded(color, "JPEG", exif=turned), encoded(grey, "JPEG")]
    found += [encoded(color.convert("CMYK"), "JPEG"), encoded(color, "JPEG", progressive=True)]
    found += [encoded(color, "TIFF", compression=name) for name in (None, "tiff_lzw", "jpeg")]
    found += [encoded(deep, "TIFF"), encoded(grey.convert("F"), "TIFF"), encoded(mask, "TIFF")]
    found += [encoded(color, "BMP"), encoded(grey, "BMP"), encoded(grey, "GIF")]
    found += [encoded(color, "PPM"), encoded(grey, "PPM"), encoded(deep, "PPM")]
    if features.check("webp"):
        found += [encoded(color, "WEBP", lossless=True), encoded(color, "WEBP")]
    if features.check("jpg_2000"):
        found += [encoded(color, "JPEG2000"), encoded(grey, "JPEG2000")]
    return tuple(found)


@functools.cache
def labels() -> dict[str, tuple[bytes, ...]]:
    """Return label maps by the extension of their format."""
    map_ = np.zeros((6, 5), np.uint8)
    map_[1:5, 1:4], map_[2:3, 2:3] = 1, 2
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for extension in label_files.LABEL_EXTENSIONS:
            path = Path(folder, f"x{extension}")
            try:
                label_files.write_label_file(map_, path)
            except ValueError:  # without pynrrd
                continue
            found[extension] = (path.read_bytes(),)
    plain = _nrrd_text(map_)
    for extension in {".nrrd", ".seg.nrrd"} & found.keys():
        found[extension] += (plain,)
    found[".nii.gz"] += (gzip.compress(found[".nii"][0][:100]),)
    return found


def _nrrd_text(map_: np.ndarray) -> bytes:
    """Return a label map as NRRD without compression, whose pixels a mutation can reach."""
    header = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 5 6\nencoding: raw\n\n"
    return header.encode() + map_.tobytes()


@functools.cache
def dicoms() -> tuple[bytes, ...]:
    """Return DICOM photographs, in color and in 12 bits of grey; none without pydicom."""
    try:
        import pydicom
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    except ImportError:
        return ()
    found = []
    for samples, bits in ((3, 8), (1, 12)):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["x"])
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.Rows = data.Columns = 6
        data.SamplesPerPixel = samples
        data.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
        if samples == 3:
            data.PlanarConfiguration = 0
        data.BitsAllocated = 8 if bits == 8 else 16
        data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, 0
        data.PixelData = bytes(_pixels(6 * 6 * samples * data.BitsAllocated // 8))
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, data, enforce_file_format=True)
        found.append(buffer.getvalue())
    return tuple(found)


@functools.cache
def weights() -> tuple[bytes, ...]:
    """Return checkpoints: nested, of the authors' names, of the format before zip, half floats."""
    ours = {"encoder.conv1.weight": torch.ones(2, 1), "output.bias": torch.zeros(2)}
    theirs = {"res.conv1.weight": torch.ones(2, 1), "seg_head.bias": torch.zeros(2)}
    contents: list[object] = [ours, {"state_dict": theirs, "epoch": 3}, {"conv1.weight": ours}]
    contents.append({name: value.half() for name, value in ours.items()})
    found = [_torch_file(content) for content in contents]
    return (*found, _torch_file(ours, _use_new_zipfile_serialization=False))


@functools.cache
def safetensors() -> tuple[bytes, ...]:
    """Return a checkpoint as safetensors; none without that package."""
    try:
        from safetensors.torch import save
    except ImportError:
        return ()
    ours = {"encoder.conv1.weight": torch.ones(2, 1), "output.bias": torch.zeros(2)}
    return (save(ours), save(ours, metadata={"format": "pt"}))


@functools.cache
def archives() -> tuple[bytes, ...]:
    """Return zip archives: plain, with an archive in it, with several compressions."""
    inner = _zip({"b.png": images()[0]})
    plain = _zip({"image/a.png": images()[0], "list.csv": b"image,mask\n"})
    return (plain, _zip({"x/in.zip": inner, "c.png": b"x" * 99}, zipfile.ZIP_DEFLATED), inner)


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def _torch_file(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()
