# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of studies: photographs of any known format, and label maps beside them."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException
from filelock import FileLock
from monailabel.datastore.local import LocalDatastore, LocalDatastoreModel

from grata_monai._files import atomic_path
from grata_monai.data import IMAGE_SUFFIXES
from grata_monai.imaging import read_photograph
from grata_monai.label.label_files import LABEL_EXTENSIONS, check_label_size, read_label_file
from grata_monai.label.request import check_center, parse_center
from grata_monai.label.server.errors import client_errors, is_plain, plain_name
from grata_monai.label.service import check_photograph

FINAL, SENT_BACK = "final", "sent_back"
_KNOWN = sorted({*IMAGE_SUFFIXES, *LABEL_EXTENSIONS}, key=len, reverse=True)
_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_AMBIGUOUS = (".seg", ".nii")  # "a.seg" as .nrrd and "a" as .seg.nrrd are one file
_LONGEST_NOTE, _LONGEST_NAME = 2000, 200
_logger = logging.getLogger(__name__)


class FundusDatastore(LocalDatastore):
    """MONAI Label's local datastore for photographs.

    File names may be in any case (``.JPG``), no name or tag of a client can lead out of the folder,
    and what is stored is read first: an image that is none, or a label map of another size, is
    refused. Scoring and training run in processes of their own, so each change is made to the
    list as it is on disk, under a lock that they share.

    Args:
        studies: The folder.
        auto_reload: Whether to notice files that come and go while the server runs.
        read_only: Whether to leave the list of studies as it is.
    """

    def __init__(self, studies: str, *, auto_reload: bool = True, read_only: bool = False) -> None:
        os.makedirs(studies, exist_ok=True)
        self._config_ts = 0.0
        self._writers = FileLock(os.path.join(studies, ".writers.lock"))
        super().__init__(
            studies,
            extensions=[f"*{one}" for one in _KNOWN],
            auto_reload=auto_reload,
            read_only=read_only,
        )
        if auto_reload:
            self._handler.on_moved = self._on_moved

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Store a photograph.

        Raises:
            HTTPException: 4xx if it cannot be read, or the name is no plain one or taken.
        """
        name, extension = self._to_id(os.path.basename(image_filename))
        image_id = plain_name(image_id or name, "name of the study")
        with client_errors({image_filename: repr(image_id)}):
            if image_id.lower().endswith(_AMBIGUOUS):
                raise ValueError(f"No name may end in {_AMBIGUOUS}. Got {image_id!r}.")
            if extension.lower() not in IMAGE_SUFFIXES:
                raise ValueError(
                    f"{image_id} is no photograph by its extension {extension!r}; known are "
                    f"{', '.join(IMAGE_SUFFIXES)}."
                )
            check_photograph(image_filename)
            read_photograph(image_filename)
            _check_storable(image_info)
        with self._exclusive():
            if image_id in self._datastore.objects:
                raise HTTPException(409, f"There is a study {image_id!r} already; rename one.")
            return str(super().add_image(image_id, image_filename, image_info))

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Store a label map (PNG, NIfTI, NRRD, ``.seg.nrrd``) of a photograph.

        Raises:
            HTTPException: 4xx if there is no such photograph, the tag is no plain word, or the file
                is no label map of the photograph's size.
        """
        tag = str(getattr(label_tag, "value", label_tag))
        if not _TAG.fullmatch(tag):
            raise HTTPException(400, f"A tag is letters, digits, - and _. Got {tag[:64]!r}.")
        photograph = self.get_image_uri(image_id)
        if not photograph:
            raise HTTPException(404, f"There is no study {image_id!r}.")
        with client_errors({label_filename: "(upload)", photograph: repr(image_id)}):
            size = check_photograph(photograph)
            labels = read_label_file(label_filename)
            check_label_size(labels, size, f"The label map of {image_id}")
            _check_storable(label_info)
        with self._exclusive():
            saved = str(super().save_label(image_id, label_filename, tag, label_info))
            entry = self._datastore.objects[image_id]
            self._remove_files(image_id, tag, but=f"{image_id}{entry.labels[tag].ext}")
            if tag == FINAL and entry.image.info.pop("review", None):
                self._update_datastore_file()
            return saved

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label map, in whatever format it is."""
        with self._exclusive():
            entry = self._datastore.objects.get(label_id)
            if entry is not None and entry.labels.pop(label_tag, None):
                self._remove_files(label_id, label_tag)
                self._update_datastore_file()

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Put facts on a photograph beside those that are there.

        Raises:
            HTTPException: 4xx if there is no such photograph, or ``disc_center`` is not inside it.
        """
        if not isinstance(info, dict):
            raise HTTPException(400, "The info must be a JSON object.")
        with client_errors():
            _check_storable(info)
            if "disc_center" in info:
                size = check_photograph(self.get_image_uri(image_id))
                check_center(parse_center(info["disc_center"]), size)
        self.update_many({image_id: info})

    def update_many(self, facts: Mapping[str, dict[str, Any]]) -> None:
        """Put facts on several photographs and write the list once; unknown ones are refused."""
        with self._exclusive():
            for image_id, info in facts.items():
                if image_id not in self._datastore.objects:
                    raise HTTPException(404, f"There is no study {image_id!r}.")
                self._datastore.objects[image_id].image.info.update(info)
            self._update_datastore_file()

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Put facts on a label map beside those that are there."""
        with client_errors():
            _check_storable(info)
        with self._exclusive():
            super().update_label_info(label_id, label_tag, info)

    def send_back(self, image_id: str, note: str, *, user: str, client_id: str = "") -> None:
        """Mark a photograph as one to look at again; its final label map is kept as "sent_back".

        Args:
            image_id: Its name.
            note: What is wrong.
            user: Who says so.
            client_id: The client that says so; it gets the photograph last.

        Raises:
            HTTPException: 404 if there is no such photograph.
        """
        with self._exclusive():
            entry = self._datastore.objects.get(image_id)
            if entry is None:
                raise HTTPException(404, f"There is no study {image_id!r}.")
            final = entry.labels.get(FINAL)
            if final is not None:
                path = os.path.join(self._datastore.label_path(FINAL), f"{image_id}{final.ext}")
                if os.path.exists(path):
                    super().save_label(image_id, path, SENT_BACK, copy.deepcopy(final.info))
                    self._remove_files(image_id, SENT_BACK, but=f"{image_id}{final.ext}")
                self._remove_files(image_id, FINAL)
                del entry.labels[FINAL]
            review = {
                "decision": SENT_BACK,
                "note": note[:_LONGEST_NOTE],
                "user": user,
                "client_id": client_id[:_LONGEST_NAME],
                "ts": int(time.time()),
            }
            entry.image.info["review"] = review
            self._update_datastore_file()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other writers out, and begin with what they wrote last.

        Raises:
            HTTPException: 503 if the folder is not there, such as a share that was unmounted.
        """
        if not os.path.isdir(self._datastore.label_path(None)):
            raise HTTPException(503, "The folder of studies is not there (any more).")
        with self._writers:
            self._init_from_datastore_file()
            yield

    def _on_moved(self, event: Any) -> None:
        """Notice what another process renamed into place: the list itself, or a file."""
        if event.dest_path == self._datastore_config_path:
            self._init_from_datastore_file()
        else:
            self.refresh()

    def _is_usable(self, folder: str, file: str) -> bool:
        """Tell whether it is a file (no link out of the studies) that clients can name."""
        path = os.path.realpath(os.path.join(folder, file))
        inside = path.startswith(os.path.realpath(self._datastore_path) + os.sep)
        return is_plain(file) and inside and os.path.isfile(path)

    def _remove_files(self, image_id: str, tag: str, *, but: str = "") -> None:
        """Remove label maps of a photograph; one left in another format would come back."""
        folder = self._datastore.label_path(tag)
        for file in os.listdir(folder) if os.path.isdir(folder) else ():
            if file != but and self._to_id(file)[0] == image_id:
                os.unlink(os.path.join(folder, file))

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        """Read the list where it changed; other threads see the old one or the new one.

        One that cannot be read is put aside, and made anew from the files.
        """
        path = self._datastore_config_path
        with self._writers:
            if not os.path.exists(path):
                return
            changed = os.stat(path).st_mtime
            if changed == self._config_ts:
                return
            try:
                with open(path, encoding="utf-8") as file:
                    found = LocalDatastoreModel.model_validate_json(file.read())
            except ValueError as error:
                aside = f"{path}.{time.strftime('%Y%m%d-%H%M%S')}.broken"
                os.replace(path, aside)
                _logger.error("%s could not be read and is now %s: %s", path, aside, error)
                return
            found.base_path = self._datastore_path
            self._datastore, self._config_ts = found, changed

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Write the list, all or not at all."""
        with self._writers, atomic_path(self._datastore_config_path) as temporary:
            text = json.dumps(self._datastore.model_dump(exclude={"base_path"}), default=str)
            temporary.write_text(text, encoding="utf-8")
        self._config_ts = os.stat(self._datastore_config_path).st_mtime

    def _reconcile_datastore(self) -> None:
        with self._writers:
            super()._reconcile_datastore()

    def split_name(self, file: str) -> tuple[str, str]:
        """Return a file's name and extension; of those that have several, the longest known."""
        for extension in _KNOWN:
            if file.lower().endswith(extension):
                cut = len(file) - len(extension)
                return file[:cut], file[cut:]
        return os.path.splitext(file)

    _to_id = split_name

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        """Return the photographs in the folder of images, or the label maps in one of labels."""
        is_images = os.path.realpath(path) == os.path.realpath(self._datastore.image_path())
        extensions = tuple(IMAGE_SUFFIXES if is_images else LABEL_EXTENSIONS)
        found: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for file in sorted(os.listdir(path)):
            if not file.lower().endswith(extensions) or not self._is_usable(path, file):
                continue
            name = self._to_id(file)[0]
            first = by_name.setdefault(name, file)
            if is_images and name.lower().endswith(_AMBIGUOUS):
                _logger.warning("Left out %s: no name may end in %s.", file, _AMBIGUOUS)
            elif first == file:
                found[file] = file
            elif is_images:
                _logger.warning(
                    "Left out %s: %s differs by its extension alone; rename one.", file, first
                )
        return found


def _check_storable(info: Any) -> None:
    """Check that facts from a client can be written as JSON and read again by everybody."""
    try:
        json.dumps(info, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"These facts cannot be stored as JSON: {error}") from error
