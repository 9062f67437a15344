# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The app that MONAI Label's server loads."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings as server_settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.async_tasks.utils import processes
from monailabel.utils.sessions import Sessions

from grata_monai import __version__
from grata_monai.execution import keep_freed_memory
from grata_monai.label.segmentation import SEGMENTS
from grata_monai.label.server.datastore import FundusDatastore
from grata_monai.label.server.errors import client_errors, plain_name
from grata_monai.label.server.infer import FundusBatchInfer, FundusInfer
from grata_monai.label.server.scoring import HardestFirst, UncertaintyScoring
from grata_monai.label.server.train import FundusTrain
from grata_monai.label.service import SegmentationService
from grata_monai.label.settings import LabelSettings

WHOLE, REGION = "fundus", "fundus_roi"
_KEPT_SECONDS = 3600  # of what failed requests and killed servers leave
_logger = logging.getLogger(__name__)


class FundusApp(MONAILabelApp):
    """Segments fundus photographs with a model that adapts to the camera while it is used.

    Models ``fundus`` (whole photographs) and ``fundus_roi`` (regions around the disc) share one
    network and its versions. Only studies, uploads of the same request and MONAI Label's own
    sessions can be read through it: uploads go to a private folder of the app, and any other path
    is refused. The process keeps what memory it frees: images after the first take less time.

    Args:
        app_dir: The app's folder, see ``init_app``.
        studies: Folder of photographs.
        conf: MONAI Label's ``--conf``; keys of ``LabelSettings`` override ``settings.json``.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, Any]) -> None:
        keep_freed_memory()
        self.service = SegmentationService(app_dir, LabelSettings.read(app_dir, conf))
        self.uploads = _private_folder(Path(app_dir) / "uploads")
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=dict(conf),
            name="grata_monai",
            description="Optic disc and cup in fundus photographs, with test-time adaptation",
            version=__version__,
            labels=dict(SEGMENTS),
        )

    def init_infers(self) -> dict[str, InferTask]:
        """Return the models."""
        return {name: FundusInfer(self.service, whole=name == WHOLE) for name in self._names()}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return the training tasks, named as the models."""
        return {name: FundusTrain(self.service, whole=name == WHOLE) for name in self._names()}

    def init_strategies(self) -> dict[str, Strategy]:
        """Return in which order studies are given out."""
        return {"hardest_first": HardestFirst(), "random": Random()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """Return what ``hardest_first`` orders by."""
        return {"uncertainty": UncertaintyScoring(self.service)}

    def init_batch_infer(self) -> BatchInferTask:
        """Return batch inference."""
        return FundusBatchInfer()

    def init_datastore(self) -> Datastore:
        """Return the studies.

        Raises:
            ValueError: If they are no folder.
        """
        if "://" in self.studies:
            raise ValueError(
                f"The studies must be a folder of photographs; {self.studies} is an address. "
                "Export the photographs first."
            )
        return FundusDatastore(
            self.studies,
            auto_reload=server_settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=server_settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def infer(
        self, request: Mapping[str, Any], datastore: Datastore | None = None
    ) -> dict[str, Any]:
        """Run a model on a study or an upload.

        Args:
            request: ``model``, ``image`` (the name of a study, or the path of an upload) and the
                options of ``LabelSettings.request``; with ``save_label`` the result is stored
                under ``label_tag``.
            datastore: The studies; None: the app's own.

        Returns:
            ``file`` with the label map and ``params``, see ``result_params``.

        Raises:
            HTTPException: 4xx for what a client can cure.
        """
        studies: Datastore = datastore or self.datastore()
        task = self._infers.get(request.get("model"))
        if task is None:
            raise HTTPException(
                404, f"There is no model {request.get('model')!r}, but {', '.join(self._infers)}."
            )
        image = str(request.get("image") or "")
        study = studies.get_image_uri(image)
        center = studies.get_image_info(image).get("disc_center") if study else None
        path = study or self._upload(image)
        with client_errors({path: repr(image) if study else "(upload)"}):
            file, params = task({"disc_center": center, **request, "image": path})
        tag = request.get("label_tag") or DefaultLabelTag.ORIGINAL
        label: str = file
        if study and request.get("save_label"):
            try:
                label = studies.save_label(
                    image, file, tag, {"model": request["model"], "params": _facts(params)}
                )
            except BaseException:
                Path(file).unlink(missing_ok=True)
                raise
        return {"label": label, "tag": tag, "file": file, "params": params}

    def trainer(self, model: str) -> TrainTask:
        """Return a training task.

        Raises:
            HTTPException: 404 if there is none of that name.
        """
        if model not in self._trainers:
            raise HTTPException(404, f"There is no trainer {model!r}.")
        return self._trainers[model]

    def next_sample(self, request: Mapping[str, Any]) -> Any:
        """Return the study to work on next; the strategy's name comes from the address alone."""
        strategy = request.get("strategy")
        return super().next_sample({**request, "strategy": str(strategy or "hardest_first")})

    def infer_wsi(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> Any:
        """Refuse: these are no whole-slide images."""
        raise HTTPException(404, "There are no whole-slide images here; use /infer/MODEL.")

    def async_scoring(self, method: str | None, params: Any = None) -> Any:
        """Score in the background; without a method, only if a study needs it and none runs."""
        if not method:
            try:
                needed = [
                    one for one in self._scoring_methods.values() if one.stale(self.datastore())
                ]
            except (FileNotFoundError, ValueError) as error:
                _logger.warning("No scoring: %s", error)
                needed = []
            if not needed or processes("scoring"):
                return {}
        return super().async_scoring(method, params)

    def cleanup_sessions(self) -> None:
        """Forget old sessions, and remove uploads that failed requests left; called by a clock."""
        super().cleanup_sessions()
        _remove_old(self.uploads)

    def model_file(self, model: str, validate: bool = True) -> str | None:
        """Return the weights that are served, for downloading."""
        task = self._infers.get(model)
        return task.get_path(validate) if task else None

    def _load_sessions(self, load: bool = False) -> Sessions | None:
        """Return MONAI Label's sessions (uploads that several requests share), kept in the app."""
        store = server_settings.MONAI_LABEL_SESSION_PATH or str(Path(self.app_dir) / "sessions")
        return Sessions(store, server_settings.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def _names(self) -> tuple[str, str]:
        """Return the models' names, that of the studies' framing first."""
        return (
            (WHOLE, REGION) if self.service.settings.framing == "photographs" else (REGION, WHOLE)
        )

    def _upload(self, image: str) -> str:
        """Return the path of an upload or a session's image.

        Raises:
            HTTPException: 400 or 404 for any other path.
        """
        path = Path(image).resolve() if "\0" not in image else Path()
        sessions = Path(self._sessions.store_path).resolve() if self._sessions else None
        is_upload = path.parent == self.uploads
        is_session = sessions is not None and sessions in path.parents
        if (is_upload or is_session) and path.is_file():
            return str(path)
        plain_name(image, "image")
        raise HTTPException(404, f"There is no study {image!r}.")


def _private_folder(folder: Path) -> Path:
    """Make the folder of uploads, where this process puts all its temporary files from now on.

    MONAI Label stores uploads wherever Python puts temporary files, and passes their paths on as
    images. In a folder of their own such paths can be told from others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_old(folder)
    tempfile.tempdir = str(folder.resolve())
    return folder.resolve()


def _remove_old(folder: Path) -> None:
    for left in folder.iterdir():
        try:
            if left.is_file() and time.time() - left.stat().st_mtime > _KEPT_SECONDS:
                left.unlink()
        except FileNotFoundError:  # a request has just removed its own
            continue


def _facts(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is worth keeping of a result beside its label map."""
    return {key: value for key, value in params.items() if key != "annotations"}
