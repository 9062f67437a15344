# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Write predictions of disc and cup as label maps and as outlines on the photograph."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from monai.transforms.transform import MapTransform

from grata_monai._checks import check_choice
from grata_monai._files import atomic_path
from grata_monai.imaging import draw_overlay, read_mask, read_photograph, split_grey, write_png
from grata_monai.transforms._tracking import ImageArray
from grata_monai.transforms.labels import encode_fundus_label, label_map

_EXTENSIONS = {"png": ".png", "nifti": ".nii.gz"}
_ENCODERS = {"labels": label_map, "authors": encode_fundus_label}


class SaveSegmentationd(MapTransform):
    """Write each prediction beside what it was predicted from, under the photograph's name.

    Writes ``<stem>_seg.png``, ``<stem>_seg.nii.gz`` and ``<stem>_overlay.png``, each all or not at
    all. The NIfTI file holds one slice whose axes and origin are those of the PNG in ITK viewers.
    The overlay shows disc (green) and cup (blue), and a person's outlines (white) if the item has
    a mask that was loaded from a file. Goes after ``Invertd`` and ``AsDiscreted``, on items of a
    decollated batch; the item itself is passed on unchanged.

    Args:
        keys: Entry with the prediction, 2xHxW of zeros and ones in the photograph's own size.
        image_key: Entry whose metadata names the photograph.
        output_dir: Folder to write to; made if needed.
        root_dir: If given, folders between this one and the photograph are kept in ``output_dir``.
        formats: Any of "png" and "nifti".
        overlay: Whether to draw the outlines too.
        encoding: Of the PNG: "labels" (0 background, 1 rim, 2 cup) or "authors" (255, 128, 0), with
            which it can serve as a mask. The NIfTI file always holds labels.
        label_key: Entry whose metadata names the mask.
        suffix: What follows the stem in the names of label maps.
        allow_missing_keys: Whether an item may lack the prediction.

    Raises:
        ValueError: If the prediction has another size than the photograph, is not binary, or if two
            photographs would be written to the same file.
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable] = "pred",
        *,
        image_key: str = "image",
        output_dir: str | os.PathLike[str],
        root_dir: str | os.PathLike[str] | None = None,
        formats: Sequence[str] = ("png", "nifti"),
        overlay: bool = True,
        encoding: str = "labels",
        label_key: str = "label",
        suffix: str = "seg",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(
                f"The 'keys' parameter of SaveSegmentationd must be one key. Got {keys!r}."
            )
        for name in formats:
            check_choice("SaveSegmentationd", "formats", name, _EXTENSIONS)
        check_choice("SaveSegmentationd", "encoding", encoding, _ENCODERS)
        if not suffix or suffix == "overlay" or set(suffix) & set("/\\"):
            raise ValueError(
                "The 'suffix' parameter of SaveSegmentationd must be a word other than 'overlay', "
                f"without slashes. Got {suffix!r}."
            )
        self.image_key = image_key
        self.output_dir = output_dir
        self.root_dir = root_dir
        self.formats = formats
        self.overlay = overlay
        self.encoding = encoding
        self.label_key = label_key
        self.suffix = suffix
        self._sources: dict[Path, str] = {}

    def paths(self, photograph: str | os.PathLike[str]) -> dict[str, Path]:
        """Return where the results of a photograph go, by "png", "nifti" and "overlay".

        Raises:
            ValueError: If the photograph is not inside ``root_dir``.
        """
        base = Path(self.output_dir) / self._folder(Path(photograph))
        stem = Path(photograph).stem
        found = {f: base / f"{stem}_{self.suffix}{_EXTENSIONS[f]}" for f in self.formats}
        return {**found, "overlay": base / f"{stem}_overlay.png"} if self.overlay else found

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Write the files and return the item."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            source = _file_name(item, self.image_key)
            if source is None:
                raise ValueError(
                    f"SaveSegmentationd needs the photograph's name in the metadata of "
                    f"{self.image_key!r} ('filename_or_obj'); load it with LoadFundusd."
                )
            self._write(item[key], source, _file_name(item, self.label_key))
        return item

    def _write(self, prediction: ImageArray, source: str, mask: str | None) -> None:
        paths = self._claim(source)
        labels = label_map(prediction)
        photograph = np.asarray(read_photograph(source, follow_exif=False))
        if labels.shape != photograph.shape[:2]:
            raise ValueError(
                f"The prediction has the size {labels.shape}, but {source} has "
                f"{photograph.shape[:2]} (rows, columns); apply Invertd before SaveSegmentationd."
            )
        if "png" in paths:
            write_png(_ENCODERS[self.encoding](prediction), paths["png"], compress_level=1)
        if "nifti" in paths:
            write_nifti_labels(labels, paths["nifti"])
        if "overlay" in paths:
            truth = None if mask is None else _read_truth(mask)
            overlay = draw_overlay(photograph, labels, truth)
            write_png(overlay, paths["overlay"], compress_level=1)

    def _folder(self, photograph: Path) -> Path:
        if self.root_dir is None:
            return Path()
        # not resolve(): a link has its own place, wherever it leads
        root = Path(os.path.abspath(self.root_dir))
        folder = Path(os.path.abspath(photograph)).parent
        if not folder.is_relative_to(root):
            raise ValueError(
                f"The photograph {photograph} is not inside the 'root_dir' of SaveSegmentationd, "
                f"{root}."
            )
        return folder.relative_to(root)

    def _claim(self, source: str) -> dict[str, Path]:
        """Return the paths of a photograph, which no other photograph of this run may have."""
        paths = self.paths(source)
        for path in paths.values():
            owner = self._sources.setdefault(path, source)
            if owner != source:
                raise ValueError(
                    f"{owner} and {source} would both be written to {path}; give 'root_dir' to "
                    "keep their folders apart, or rename one."
                )
        return paths


def write_nifti_labels(labels: npt.NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write a label map as one slice; ITK reads a PNG as x to the left, y to the back, from 0.

    Args:
        labels: HxW.
        path: File to write, ``.nii`` or ``.nii.gz``; missing folders are made.

    Raises:
        OSError: If the file cannot be written.
    """
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    volume = nibabel.Nifti1Image(np.ascontiguousarray(labels.T[..., None]), affine)
    volume.set_qform(affine, code=1)
    volume.set_sform(affine, code=1)
    with atomic_path(path) as temporary:
        nibabel.save(volume, temporary)


def _file_name(item: Mapping[Hashable, object], key: str) -> str | None:
    """Return the file that an entry was loaded from, if its metadata says."""
    name = getattr(item.get(key), "meta", {}).get("filename_or_obj")
    return None if name is None else os.fspath(name)


def _read_truth(path: str) -> npt.NDArray[np.uint8]:
    """Return the label map of a grey mask."""
    return label_map(split_grey(np.asarray(read_mask(path))))
