# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that an annotation server does with images, without a server."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grata_monai._files import sha256_of
from grata_monai.adapters import Adapter, build_adapter
from grata_monai.execution import Execution
from grata_monai.imaging import probe, read_photograph
from grata_monai.imaging.reading import UNREADABLE
from grata_monai.label.adapted_states import AdaptedStates
from grata_monai.label.request import SegmentationRequest, check_center
from grata_monai.label.segmentation import Photograph, Segmentation, Segmenter
from grata_monai.label.settings import LabelSettings
from grata_monai.label.uncertainty import Uncertainty, measure_uncertainty
from grata_monai.label.versions import ModelVersion, ModelVersions
from grata_monai.localization import DiscLocation, NetworkLocator, locate_disc
from grata_monai.networks import source_network

MODEL_FOLDER = "model"
LARGEST = 60_000_000  # pixels of a photograph; others take minutes and many GB
_REMEMBERED = 512  # places of discs


class SegmentationService:
    """Serves the current version of an app's model to several clients, one image at a time.

    One network works for all, in one thread. Whatever a request adapts is taken back before
    the next one starts; the adapted states of clients (life cycle "online") are in
    ``AdaptedStates``, bound to client, method and version of the model. When another version
    becomes current, it is served from the next request on, and adapted states of the old one are
    no longer used.

    Args:
        app_dir: The app's folder, see ``init_app``.
        settings: Its settings; None reads them.

    Raises:
        ValueError: If the settings are wrong.
    """

    def __init__(
        self, app_dir: str | os.PathLike[str], settings: LabelSettings | None = None
    ) -> None:
        self.settings = LabelSettings.read(app_dir) if settings is None else settings
        self.versions = ModelVersions(Path(app_dir) / MODEL_FOLDER)
        self.states = AdaptedStates(
            seconds=60 * self.settings.session_minutes, limit=self.settings.max_sessions
        )
        # One thread for all of torch: no two requests meet, and memory stays with that thread.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="segmentation")
        self._served: tuple[ModelVersion, Segmenter] | None = None
        self._places: OrderedDict[tuple[str, str], DiscLocation] = OrderedDict()

    def segment(
        self,
        image: str | os.PathLike[str],
        request: SegmentationRequest,
        *,
        whole: bool,
    ) -> tuple[Segmentation, ModelVersion]:
        """Return disc and cup of an image file, and which version of the model saw them.

        Args:
            image: PNG, JPEG, TIFF, BMP, DICOM, ...
            request: How.
            whole: Whether it is a whole photograph (where the disc has to be found) or a region.

        Raises:
            FileNotFoundError: If the file or the model is missing.
            ValueError: If the image cannot be read or the request does not fit.
        """
        photograph = _read(image)

        def work() -> tuple[Segmentation, ModelVersion]:
            version, segmenter = served = self._current()
            location = self._locate(image, photograph, request, served) if whole else None
            adapter = self._adapter(request, version)
            found = segmenter(photograph, adapter, location)
            if found.trace.get("updated") == 0.0 and not found.event:
                # a loss that is not finite: a state that cannot go on
                self.states.forget((version.name, request.key))
            return found, version

        return self._worker.submit(work).result()

    def measure(
        self, image: str | os.PathLike[str], *, whole: bool, center: Any = None
    ) -> tuple[Uncertainty, ModelVersion]:
        """Return how unsure the model is about an image, without labels.

        Args:
            image: The file.
            whole: As of :meth:`segment`.
            center: (row, column) of the disc, if a person gave it.

        Raises:
            FileNotFoundError: If the file or the model is missing.
            ValueError: If the image cannot be read.
        """
        photograph = _read(image)
        request = self.settings.request({"disc_center": center})

        def work() -> tuple[Uncertainty, ModelVersion]:
            version, segmenter = served = self._current()
            location = self._locate(image, photograph, request, served) if whole else None
            item = segmenter.prepare(photograph, location)
            inputs = torch.as_tensor(item["image"])[None].to(segmenter.device)
            found = measure_uncertainty(segmenter.network, inputs, seed=self.settings.seed)
            return found, version

        return self._worker.submit(work).result()

    def _current(self) -> tuple[ModelVersion, Segmenter]:
        """Return the current version, loaded if it is not the one served last."""
        version = self.versions.current()
        if self._served is None or self._served[0].name != version.name:
            device = torch.device(
                self.settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
            )
            network = source_network(version.weights).to(device).eval()
            segmenter = Segmenter(
                network=network,
                image_size=self.settings.image_size,
                roi_size=self.settings.roi_size,
                device=device,
                execution=Execution(precision=self.settings.precision),
                guarded=self.settings.guard,
            )
            self._served = (version, segmenter)
            self.states.clear()
        return self._served

    def _adapter(self, request: SegmentationRequest, version: ModelVersion) -> Adapter:
        seed = self.settings.seed
        self.states.forget_old()
        if request.life_cycle == "off":
            return build_adapter("source")
        if request.life_cycle == "episodic":
            return request.build(life_cycle="per_image", seed=seed)
        if request.client is None:
            raise ValueError(
                "The life cycle 'online' keeps an adapted state per client: send a 'client_id', or "
                "use 'episodic'."
            )
        key = (version.name, request.key)
        if request.restart:
            self.states.forget(key)
        return self.states.get(key, lambda: request.build(life_cycle="never", seed=seed))

    def _locate(
        self,
        image: str | os.PathLike[str],
        photograph: Photograph,
        request: SegmentationRequest,
        served: tuple[ModelVersion, Segmenter],
    ) -> DiscLocation:
        """Return where the disc is; the same file is searched once per version."""
        if request.disc_center is not None:
            check_center(request.disc_center, photograph.shape[:2])
            return DiscLocation(*request.disc_center, confidence=1.0, method="given")
        version, segmenter = served
        key = (sha256_of(image), version.name)
        if key not in self._places:
            self._places[key] = self._search(photograph, segmenter)
            while len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)
        return self._places[key]

    def _search(self, photograph: Photograph, segmenter: Segmenter) -> DiscLocation:
        if self.settings.locator == "classical":
            return locate_disc(photograph)
        locate = NetworkLocator(
            network=segmenter.network,
            image_size=segmenter.image_size,
            roi_size=segmenter.roi_size,
            device=segmenter.device,
        )
        return locate(photograph)


def check_photograph(image: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (rows, columns) of a photograph, without decoding it where that is possible.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or so large that no camera made it.
    """
    if not os.path.exists(image):
        raise FileNotFoundError(f"The photograph {os.fspath(image)} does not exist.")
    try:
        (columns, rows), _ = probe(image)
    except UNREADABLE as error:
        raise ValueError(f"Cannot read the photograph {os.fspath(image)}: {error}") from error
    if rows * columns > LARGEST:
        raise ValueError(
            f"The photograph {os.fspath(image)} has {rows} x {columns} pixels; more than "
            f"{LARGEST // 10**6} million are refused."
        )
    return rows, columns


def _read(image: str | os.PathLike[str]) -> Photograph:
    check_photograph(image)
    return np.asarray(read_photograph(image))
