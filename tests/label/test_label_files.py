# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Label maps in all formats, read back by other libraries and from other programs' files."""

from __future__ import annotations

import builtins
import gzip

import nibabel
import numpy as np
import pytest
from PIL import Image

from grata_monai.label.label_files import (
    LABEL_EXTENSIONS,
    check_label_size,
    label_extension,
    read_label_file,
    write_label_file,
)

nrrd = pytest.importorskip("nrrd")


@pytest.fixture
def labels():
    """Disc and cup, without any symmetry: 5 rows, 7 columns."""
    array = np.zeros((5, 7), np.uint8)
    array[1:4, 2:6] = 1
    array[1, 3:5] = 2
    array[0, 0] = 1
    return array


@pytest.mark.parametrize("extension", LABEL_EXTENSIONS)
@pytest.mark.parametrize("levels", [(0, 1, 2), (0, 0, 0), (0, 1, 1), (2, 2, 2)])
def test_round_trip(tmp_path, labels, extension, levels):
    expected = np.array(levels, np.uint8)[labels]
    path = tmp_path / "new" / f"eye.v2{extension}"
    write_label_file(expected, path)
    found = read_label_file(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary is left


@pytest.mark.parametrize("extension", LABEL_EXTENSIONS)
def test_capital_extensions(tmp_path, labels, extension):
    path = tmp_path / f"EYE{extension.upper()}"
    write_label_file(labels, str(path))
    np.testing.assert_array_equal(read_label_file(str(path)), labels)


def test_label_extension():
    found = [label_extension(f"a.b{extension}") for extension in LABEL_EXTENSIONS]
    assert found == list(LABEL_EXTENSIONS)
    assert label_extension("X.SEG.NRRD") == ".seg.nrrd"
    with pytest.raises(ValueError, match=r"eye\.jpg has no extension .* use one of \.png"):
        label_extension("eye.jpg")


def test_png_holds_the_labels(tmp_path, labels):
    write_label_file(labels, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), labels)


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_nifti_lies_on_the_photograph(tmp_path, labels, extension):
    write_label_file(labels, tmp_path / f"a{extension}")
    volume = nibabel.load(tmp_path / f"a{extension}")
    assert volume.shape == (7, 5, 1)
    for row, column in np.ndindex(labels.shape):
        assert volume.dataobj[column, row, 0] == labels[row, column]
    assert (volume.affine @ [4, 3, 0, 1]).tolist() == [-4, -3, 0, 1]  # x 4 left, y 3 back


def test_nrrd_lies_on_the_photograph(tmp_path, labels):
    write_label_file(labels, tmp_path / "a.nrrd")
    data, header = nrrd.read(str(tmp_path / "a.nrrd"))
    assert data.shape == (7, 5, 1)
    np.testing.assert_array_equal(data[:, :, 0].T, labels)
    assert header["space"] == "left-posterior-superior"
    assert header["kinds"] == ["domain"] * 3
    np.testing.assert_array_equal(header["space directions"], np.eye(3))
    np.testing.assert_array_equal(header["space origin"], [0, 0, 0])


def test_segmentation_has_two_segments_that_overlap(tmp_path, labels):
    write_label_file(labels, tmp_path / "a.seg.nrrd")
    data, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
    assert data.shape == (2, 7, 5, 1)
    np.testing.assert_array_equal(data[0, :, :, 0].T, labels >= 1)
    np.testing.assert_array_equal(data[1, :, :, 0].T, labels == 2)
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    np.testing.assert_array_equal(header["space directions"][1:], np.eye(3))
    assert np.isnan(header["space directions"][0]).all()
    for index, name in enumerate(("optic disc", "optic cup")):
        fields = {
            key.removeprefix(f"Segment{index}_"): value
            for key, value in header.items()
            if key.startswith(f"Segment{index}_")
        }
        assert fields["ID"] == fields["Name"] == name
        assert (fields["Layer"], fields["LabelValue"]) == (str(index), "1")
        assert fields["Extent"] == "0 6 0 4 0 0"
        color = [float(part) for part in fields["Color"].split()]
        assert len(color) == 3
        assert 0 <= min(color) < max(color) <= 1
    assert header["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert header["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"


def test_simpleitk_sees_what_it_sees_in_the_png(tmp_path, labels):
    sitk = pytest.importorskip("SimpleITK")
    for extension in LABEL_EXTENSIONS:
        write_label_file(labels, tmp_path / f"a{extension}")
    png = sitk.ReadImage(str(tmp_path / "a.png"))
    for extension in (".nii", ".nii.gz", ".nrrd"):
        image = sitk.ReadImage(str(tmp_path / f"a{extension}"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], sitk.GetArrayFromImage(png))
        assert image.TransformIndexToPhysicalPoint((4, 3, 0))[:2] == pytest.approx(
            png.TransformIndexToPhysicalPoint((4, 3))
        )
    layers = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert (layers.GetSize(), layers.GetNumberOfComponentsPerPixel()) == ((7, 5, 1), 2)
    found = sitk.GetArrayFromImage(layers)[0].sum(axis=-1)
    np.testing.assert_array_equal(found, labels)
    assert layers.TransformIndexToPhysicalPoint((4, 3, 0)) == (4.0, 3.0, 0.0)


# -- from other programs ------------------------------------------------------------------------


def test_published_greys(tmp_path, labels):
    greys = np.array([255, 128, 0], np.uint8)
    Image.fromarray(greys[labels]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label_file(tmp_path / "a.png"), labels)
    Image.fromarray(np.full((5, 7), 255, np.uint8)).save(tmp_path / "b.png")
    assert not read_label_file(tmp_path / "b.png").any()


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([0, 255], r"a\.png: it is black and white: it cannot be told whether white is the disc"),
        ([0, 1, 255], r"a\.png: it holds the levels 0, 1, 255, but a label map has 0"),
        ([0, 1, 2, 3], r"it holds the levels 0, 1, 2, 3, but"),
        (list(range(9)), r"it holds the levels 0, 1, 2, 3, 4, 5, \.\.\., but"),
    ],
)
def test_other_levels_are_refused(tmp_path, levels, message):
    Image.fromarray(np.array([levels], np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=message):
        read_label_file(tmp_path / "a.png")
    nibabel.save(nibabel.Nifti1Image(np.array([[levels]], np.uint8), None), tmp_path / "a.nii")
    with pytest.raises(ValueError, match=r"a\.nii"):
        read_label_file(tmp_path / "a.nii")


@pytest.mark.parametrize("flip", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_nifti_is_turned_as_its_axes_say(tmp_path, labels, flip, kind):
    """The same pixels in space, stored in another order; the photograph lies at -x, -y in RAS."""
    data = labels.T[:: flip[0], :: flip[1], None].astype(kind)
    affine = np.diag([-0.5 * flip[0], -0.5 * flip[1], 1, 1])
    nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_label_file(tmp_path / "a.nii.gz"), labels)


def test_nifti_with_exchanged_axes_without_third_and_without_space(tmp_path, labels):
    affine = np.array([[0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    nibabel.save(nibabel.Nifti1Image(labels[..., None], affine), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_label_file(tmp_path / "a.nii"), labels)
    flat = nibabel.Nifti1Image(labels.T, np.diag([-1, -1, 1, 1]))
    nibabel.save(flat, tmp_path / "b.nii")
    np.testing.assert_array_equal(read_label_file(tmp_path / "b.nii"), labels)
    lost = nibabel.Nifti1Image(labels.T[..., None], np.diag([-1.0, -1, 1, 1]))
    for axis in "xyz":
        lost.header[f"srow_{axis}"] = 0
    lost.header["sform_code"], lost.header["qform_code"] = 1, 0
    lost.header["vox_offset"], lost.header["magic"] = 352, b"n+1"
    (tmp_path / "c.nii").write_bytes(lost.header.binaryblock + bytes(4) + labels.tobytes())
    assert not nibabel.load(tmp_path / "c.nii").affine[:3, :3].any()
    np.testing.assert_array_equal(read_label_file(tmp_path / "c.nii"), labels)


def test_nifti_of_two_masks(tmp_path, labels):
    masks = np.stack([labels.T >= 1, labels.T == 2], axis=-1)[:, :, None].astype(np.uint8)
    affine = np.diag([-1, -1, 1, 1])
    for data in (masks, masks[:, :, :, None]):
        nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / "a.nii")
        np.testing.assert_array_equal(read_label_file(tmp_path / "a.nii"), labels)
    nibabel.save(nibabel.Nifti1Image(masks * 3, affine), tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"b\.nii: its masks hold the levels 0, 3, not 0 and 1"):
        read_label_file(tmp_path / "b.nii")
    nibabel.save(nibabel.Nifti1Image(masks.repeat(2, axis=2), affine), tmp_path / "c.nii")
    with pytest.raises(ValueError, match=r"its size is 7 x 5 x 2, but .* one axial slice"):
        read_label_file(tmp_path / "c.nii")


def segmentation(
    path, data, *, names=(), values=(), layers=(), space="left-posterior-superior", **more
):
    """Write a file as 3D Slicer does."""
    directions = np.diag([-1.0, -1.0, 1.0]) if space == "right-anterior-superior" else np.eye(3)
    header = {
        "space": space,
        "space directions": np.vstack([np.full((data.ndim - 3, 3), np.nan), directions]),
        "kinds": ["list"] * (data.ndim - 3) + ["domain"] * 3,
        "space origin": np.zeros(3),
        "encoding": "raw",
        **more,
    }
    for index, name in enumerate(names):
        header |= {f"Segment{index}_ID": f"Segment_{index + 1}", f"Segment{index}_Name": name}
    header |= {f"Segment{i}_LabelValue": str(value) for i, value in enumerate(values)}
    header |= {f"Segment{i}_Layer": str(layer) for i, layer in enumerate(layers)}
    nrrd.write(str(path), data, header)


@pytest.mark.parametrize(
    ("names", "values", "expected"),
    [
        (("optic disc", "optic cup"), (4, 7), [0, 1, 2]),
        (("Optic_Cup", "OPTIC DISK"), (4, 7), [0, 2, 1]),
        (("Rim", "cup"), (4, 7), [0, 1, 2]),
        (("disc without cup", "cup in disc"), (4, 7), [0, 1, 2]),
        (("cup", "rim (disc less cup)"), (4, 7), [0, 2, 1]),
        (("Segment_1", "Segment_2"), (4, 7), [0, 1, 2]),
        (("Segment_1", "Segment_2", "Segment_3"), (4, 7, 9), [0, 1, 2]),  # the last is empty
        (("Segment_1", "disc", "cup"), (9, 7, 4), [0, 2, 1]),  # the first is empty
        (("disc",), (4,), [0, 1, 0]),
    ],
)
def test_one_layer_is_read_by_names_or_order(tmp_path, labels, names, values, expected):
    data = np.array([0, 4, 7], np.uint8)[labels].T[..., None]
    segmentation(tmp_path / "a.seg.nrrd", data, names=names, values=values, layers=[0] * len(names))
    found = read_label_file(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(found, np.array(expected)[labels])


def test_segments_that_are_none_of_ours_are_refused(tmp_path, labels):
    data = labels.T[..., None]
    for names in (("disc", "vessels"), ("disc", "Segment_2")):
        segmentation(tmp_path / "a.seg.nrrd", data, names=names, values=(1, 2), layers=(0, 0))
        with pytest.raises(ValueError, match=rf"a\.seg\.nrrd: the segment '{names[1]}' is neither"):
            read_label_file(tmp_path / "a.seg.nrrd")
    segmentation(tmp_path / "b.nrrd", data, names=("disc",), values=(1,), layers=(1,))
    with pytest.raises(ValueError, match=r"b\.nrrd: the segment 'disc' is in the layer 1, which"):
        read_label_file(tmp_path / "b.nrrd")


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_layers_without_values_as_monai_label_writes_them(tmp_path, labels, space):
    data = np.stack([labels.T == 2, labels.T >= 1])[..., None].astype(np.uint8)
    segmentation(tmp_path / "a.seg.nrrd", data, names=("optic cup", "optic disc"), space=space)
    np.testing.assert_array_equal(read_label_file(tmp_path / "a.seg.nrrd"), labels)
    segmentation(tmp_path / "b.nrrd", data[::-1])  # no names at all: disc, cup
    np.testing.assert_array_equal(read_label_file(tmp_path / "b.nrrd"), labels)


def geometry(columns, rows):
    numbers = "-1;0;0;0;0;-1;0;0;0;0;1;0;0;0;0;1;"
    return (
        "Collapse labelmaps|1|Merge.&Reference image geometry|"
        f"{numbers}0;{columns - 1};0;{rows - 1};0;0;|From the volume.&Smoothing factor|0.5|S.&"
    )


def test_cropped_and_larger_segmentations_come_back_in_the_size_of_the_photograph(tmp_path, labels):
    inner = labels.copy()
    inner[0, 0] = 0
    names = {"names": ("disc", "cup"), "values": (1, 2), "layers": (0, 0)}
    more = {
        "Segmentation_ConversionParameters": geometry(7, 5),
        "Segmentation_ReferenceImageExtentOffset": "2 1 0",
    }
    segmentation(tmp_path / "a.seg.nrrd", inner[1:4, 2:6].T[..., None], **names, **more)
    np.testing.assert_array_equal(read_label_file(tmp_path / "a.seg.nrrd"), inner)

    outer = np.pad(labels.T[..., None], ((3, 1), (0, 2), (1, 1)), mode="edge")
    more["Segmentation_ReferenceImageExtentOffset"] = "-3 0 -1"
    segmentation(tmp_path / "b.seg.nrrd", outer, **names, **more)
    np.testing.assert_array_equal(read_label_file(tmp_path / "b.seg.nrrd"), labels)

    del more["Segmentation_ReferenceImageExtentOffset"]
    segmentation(tmp_path / "c.seg.nrrd", np.zeros((1, 1, 1), np.uint8), **more)  # nothing drawn
    np.testing.assert_array_equal(read_label_file(tmp_path / "c.seg.nrrd"), labels * 0)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (10**6, "the size of its photograph cannot be 1000000 x 1000000 x 1"),
        (2**32, "the size of its photograph cannot be 4294967296 x"),  # its square is 0 in 64 bits
        (float("inf"), r"d\.seg\.nrrd: .*infinity"),
    ],
)
def test_a_photograph_of_impossible_size(tmp_path, labels, size, message):
    more = {"Segmentation_ConversionParameters": geometry(size, size)}
    segmentation(tmp_path / "d.seg.nrrd", labels.T[..., None], **more)
    with pytest.raises(ValueError, match=message):
        read_label_file(tmp_path / "d.seg.nrrd")


def test_nrrd_in_two_files_is_refused(tmp_path, labels):
    (tmp_path / "secret.raw").write_bytes(labels.tobytes())
    (tmp_path / "a.nrrd").write_text(
        "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 7 5 1\nencoding: raw\n"
        f"data file: {tmp_path / 'secret.raw'}\n\n"
    )
    with pytest.raises(ValueError, match=r"a\.nrrd: its pixels are in another file"):
        read_label_file(tmp_path / "a.nrrd")


@pytest.mark.parametrize("extension", LABEL_EXTENSIONS)
def test_broken_and_missing_files(tmp_path, labels, extension):
    path = tmp_path / f"a{extension}"
    with pytest.raises(FileNotFoundError, match=r"label file .*a\..* does not exist"):
        read_label_file(path)
    write_label_file(np.tile(labels, (40, 40)), path)
    whole = path.read_bytes()
    for broken in (b"", b"nothing like it", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=rf"^Cannot read the .*{path.name}"):
            read_label_file(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 5, 7), np.uint8), r"shape \(rows, columns\). Got \(2, 5, 7\)"),
        (
            np.full((5, 7), 3, np.uint8),
            r"cannot be written to .*a\.png: it holds the levels 3, but",
        ),
        (np.full((5, 7), 0.5), "it holds the levels 0.5, but"),
        (np.full((5, 7), np.nan), "it holds the levels nan, but"),
        (np.zeros((0, 7), np.uint8), "it holds no pixels"),
        (np.full((5, 7), "a"), "its pixels are of the type <U1, not numbers"),
    ],
)
def test_wrong_labels_are_not_written(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_label_file(wrong, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(tmp_path, labels, monkeypatch):
    path = tmp_path / "a.seg.nrrd"
    write_label_file(labels, path)
    before = path.read_bytes()

    def fail(name, *_, **__):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nrrd, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_label_file(labels * 0, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_pynrrd(tmp_path, labels, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "nrrd":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    message = r"pip install 'grata-monai\[label\]'"
    with pytest.raises(ValueError, match=message):
        write_label_file(labels, tmp_path / "a.nrrd")
    (tmp_path / "b.seg.nrrd").write_bytes(b"NRRD")
    with pytest.raises(ValueError, match=message):
        read_label_file(tmp_path / "b.seg.nrrd")
    write_label_file(labels, tmp_path / "a.nii.gz")  # these need no extra


def test_check_label_size(labels):
    check_label_size(labels, (5, 7))
    with pytest.raises(ValueError, match=r"Eye 3 has the size \(5, 7\), but .* \(6, 7\).*save it"):
        check_label_size(labels, (6, 7), "Eye 3")
    with pytest.raises(ValueError, match="rows and columns are exchanged"):
        check_label_size(labels, (7, 5))


def test_files_that_inflate_to_more_than_a_photograph_are_refused(tmp_path):
    header = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 1\nencoding: gzip\n\n"
    bomb = tmp_path / "bomb.nrrd"
    bomb.write_bytes(header + gzip.compress(bytes(9 * 2**26), compresslevel=1))
    with pytest.raises(ValueError, match="more than 67108864 pixels"):
        read_label_file(bomb)
    claims = header.replace(b"4 3 1", b"99999 99999 1")
    bomb.write_bytes(claims + gzip.compress(bytes(12)))
    with pytest.raises(ValueError, match="more than 67108864 pixels"):
        read_label_file(bomb)
    image = nibabel.Nifti1Image(np.zeros((4, 3, 1), np.uint8), np.eye(4))
    image.header["dim"][1:4] = 32767, 32767, 20
    nibabel_bytes = image.header.binaryblock + bytes(16)
    (tmp_path / "bomb.nii").write_bytes(nibabel_bytes)
    with pytest.raises(ValueError, match=r"bomb\.nii"):
        read_label_file(tmp_path / "bomb.nii")
