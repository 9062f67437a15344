# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of studies: photographs of any known format, and label maps beside them."""

from __future__ import annotations

import copy
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException
from filelock import FileLock
from monailabel.datastore.local import LocalDatastore

from grata_monai.data import IMAGE_SUFFIXES
from grata_monai.imaging import probe, read_photograph
from grata_monai.label.label_files import LABEL_EXTENSIONS, check_label_size, read_label_file
from grata_monai.label.server.errors import client_errors, plain_name

FINAL, SENT_BACK = "final", "sent_back"
_KNOWN = sorted({*IMAGE_SUFFIXES, *LABEL_EXTENSIONS}, key=len, reverse=True)
_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
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
        self._writers = FileLock(os.path.join(studies, ".writers.lock"))
        super().__init__(
            studies,
            extensions=[f"*{one}" for one in _KNOWN],
            auto_reload=auto_reload,
            read_only=read_only,
        )

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Store a photograph.

        Raises:
            HTTPException: 4xx if it cannot be read, or the name is no plain one or taken.
        """
        name, extension = self._to_id(os.path.basename(image_filename))
        image_id = plain_name(image_id or name, "name of the study")
        with client_errors({image_filename: repr(image_id)}):
            if extension.lower() not in IMAGE_SUFFIXES:
                raise ValueError(
                    f"{image_id} is no photograph by its extension {extension!r}; known are "
                    f"{', '.join(IMAGE_SUFFIXES)}."
                )
            read_photograph(image_filename)
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
            columns, rows = probe(photograph)[0]
            labels = read_label_file(label_filename)
            check_label_size(labels, (rows, columns), f"The label map of {image_id}")
        with self._exclusive():
            saved = str(super().save_label(image_id, label_filename, tag, label_info))
            if tag == FINAL:
                self._datastore.objects[image_id].image.info.pop("review", None)
                self._update_datastore_file()
            return saved

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Put facts on a photograph beside those that are there."""
        if not isinstance(info, dict):
            raise HTTPException(400, "The info must be a JSON object.")
        with self._exclusive():
            super().update_image_info(image_id, info)

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
            final = entry.labels.pop(FINAL, None)
            if final is not None:
                path = os.path.join(self._datastore.label_path(FINAL), f"{image_id}{final.ext}")
                super().save_label(image_id, path, SENT_BACK, copy.deepcopy(final.info))
                os.unlink(path)
            review = {
                "decision": SENT_BACK,
                "note": note[:_LONGEST_NOTE],
                "user": user,
                "client_id": client_id[:_LONGEST_NAME],
                "ts": int(time.time()),
            }
            super().update_image_info(image_id, {"review": review})

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other writers out, and begin with what they wrote last."""
        with self._writers:
            self._init_from_datastore_file()
            yield

    def _reconcile_datastore(self) -> None:
        with self._writers:
            super()._reconcile_datastore()

    def _to_id(self, file: str) -> tuple[str, str]:
        """Return a file's name and extension; of those that have several, the longest known."""
        for extension in _KNOWN:
            if file.lower().endswith(extension):
                cut = len(file) - len(extension)
                return file[:cut], file[cut:]
        return os.path.splitext(file)

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        """Return the photographs in the folder of images, or the label maps in one of labels."""
        is_images = os.path.realpath(path) == os.path.realpath(self._datastore.image_path())
        extensions = tuple(IMAGE_SUFFIXES if is_images else LABEL_EXTENSIONS)
        found: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for file in sorted(os.listdir(path)):
            if file.startswith(".") or not file.lower().endswith(extensions):
                continue
            first = by_name.setdefault(self._to_id(file)[0], file)
            if first == file:
                found[file] = file
            elif is_images:
                _logger.warning(
                    "Left out %s: %s differs by its extension alone; rename one.", file, first
                )
        return found
