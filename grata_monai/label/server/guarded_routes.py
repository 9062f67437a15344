# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI Label's own routes, with what a client sends checked first, and in threads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    File,
    Form,
    HTTPException,
    UploadFile,
)
from fastapi.responses import Response
from monailabel.config import settings
from monailabel.endpoints import batch_infer as batch_endpoint
from monailabel.endpoints import datastore
from monailabel.endpoints import scoring as scoring_endpoint
from monailabel.endpoints import train as train_endpoint
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import remove_file

from grata_monai.data.json_files import parse_json
from grata_monai.label.server.datastore import FINAL
from grata_monai.label.server.errors import client_errors
from grata_monai.label.server.roles import Admin, Annotator, Viewer
from grata_monai.label.service import check_photograph

_BATCH_RESERVED = {"image", "images", "max_workers", "gpus", "multi_gpu"}
_KEPT_BY_SERVER = {"uncertainty", "review", "strategy", "ts", "name", "path", "user"}
_RESERVED = {"model", "image", "session", "user", "label", "description"}


def infer(
    background_tasks: BackgroundTasks,
    user: Viewer,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    output: ResultType | None = None,
) -> Any:
    """Run a model on a study, a session or an upload.

    As MONAI Label's own, but in a thread, so that the server goes on answering others; and the
    parameters of a client can replace neither the image nor the model.
    """
    if not (image or session_id or file):
        raise HTTPException(400, "Name a study (image), give a session_id, or upload a file.")
    with _tidy(background_tasks), client_errors():
        given = _parsed(params)
        wanted = {key: given[key] for key in given.keys() - _RESERVED}
        if settings.MONAI_LABEL_AUTH_ENABLE:
            wanted["user"] = user.username
        if wanted.get("save_label") and settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR not in user.roles:
            raise HTTPException(403, "To save label maps you need the role of an annotator.")
        if output is ResultType.dicom_seg:
            raise HTTPException(400, "There is no DICOM output; use result_extension.")
        text = json.dumps(wanted)
        return run_inference(background_tasks, model, image, session_id, text, file, None, output)


def add_image(
    background_tasks: BackgroundTasks,
    user: Annotator,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
) -> Any:
    """Add a photograph; as MONAI Label's own, but nothing is left of a refused one."""
    with _tidy(background_tasks), client_errors():
        _parsed(params)
        store = app_instance().datastore()
        name = image or store.split_name(Path(file.filename or "").name)[0]
        return datastore.add_image(background_tasks, name, params, file, user.username)


def save_label(
    background_tasks: BackgroundTasks,
    user: Annotator,
    image: str,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    tag: str = FINAL,
) -> Any:
    """Save a label map; as MONAI Label's own, but nothing is left of a refused one."""
    with _tidy(background_tasks), client_errors():
        _parsed(params)
        return datastore.save_label(background_tasks, image, params, tag, label, user.username)


def put_image_info(user: Annotator, image: str, info: Annotated[str, Form()]) -> None:
    """Put facts on a study, such as ``disc_center``; what the server itself keeps is not taken."""
    with client_errors():
        facts = _parsed(info)
        if own := _KEPT_BY_SERVER & facts.keys():
            raise HTTPException(400, f"{', '.join(sorted(own))}: kept by the server itself.")
        app_instance().datastore().update_image_info(image, {**facts, "user": user.username})


def create_session(
    background_tasks: BackgroundTasks,
    user: Viewer,
    files: Annotated[list[UploadFile], File()],
    expiry: int = 0,
    uncompress: bool = False,
) -> dict[str, Any]:
    """Keep one photograph for several requests of whoever knows the session's random name.

    Not as MONAI Label's own, which unpacks archives wherever they say.
    """
    store = app_instance().sessions()
    if store is None or uncompress or len(files) != 1:
        raise HTTPException(422, "A session is one photograph, not an archive.")
    handle, path = tempfile.mkstemp(suffix=Path(files[0].filename or "").suffix[:16])
    with client_errors({path: "(upload)"}), os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(files[0].file, file)
        file.flush()
        background_tasks.add_task(remove_file, path)
        with _tidy(background_tasks):
            check_photograph(path)
            name, session = store.add_session(path, expiry, False, uuid.uuid4().hex)
    return {"session_id": name, "session_info": session.to_json()}


def train(
    user: Admin,
    model: str,
    params: Annotated[dict[str, Any] | None, Body()] = None,
    run_sync: bool = False,
    enqueue: bool = False,
) -> Any:
    """Train in the background; options are checked before."""
    task = app_instance().trainer(model)
    with client_errors():
        task.options(params or {})
    return train_endpoint.run_model(model, params, run_sync, enqueue)


def score(
    user: Annotator,
    method: str,
    params: Annotated[dict[str, Any] | None, Body()] = None,
    run_sync: bool = False,
) -> Any:
    """Score in the background; as MONAI Label's own, but others are answered meanwhile."""
    return scoring_endpoint.run_method(method, params, run_sync)


def batch_infer(
    user: Admin,
    model: str,
    images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
    params: Annotated[dict[str, Any] | None, Body()] = None,
    run_sync: bool = False,
) -> Any:
    """Segment many studies in the background and store the results as "original"."""
    wanted = {key: value for key, value in (params or {}).items() if key not in _BATCH_RESERVED}
    return batch_endpoint.run(model, images, {"save_label": True, **wanted}, run_sync)


def download_dataset(
    background_tasks: BackgroundTasks, user: Annotator, limit_cases: int | None = None
) -> Response:
    """Return photographs and final label maps as a ZIP file, and leave none behind."""
    if not app_instance().datastore().datalist():
        raise HTTPException(404, "No study has a final label map yet.")
    answer = datastore.download_dataset(limit_cases)
    background_tasks.add_task(remove_file, answer.path)
    return cast("Response", answer)


def not_here() -> None:
    """Refuse what no client of this server needs: other viewers' files, proxies, reloading."""
    raise HTTPException(404, "Not found")


def weights_are_versions(user: Viewer, model: str) -> None:
    """Refuse to overwrite or remove the weights of a version."""
    raise HTTPException(
        405, "Weights are kept as versions. Add some with 'grata-monai label add APP FILE'."
    )


def guarded_routes() -> APIRouter:
    """Return the routes in place of MONAI Label's, which come before those."""
    router = APIRouter()
    router.add_api_route("/infer/{model}", infer, methods=["POST"])
    for path in ("/datastore/", "/datastore/image"):
        router.add_api_route(path, add_image, methods=["PUT"])
    router.add_api_route("/datastore/label", save_label, methods=["PUT"])
    router.add_api_route("/datastore/dataset", download_dataset, methods=["GET"])
    router.add_api_route("/datastore/image/info", put_image_info, methods=["PUT"])
    router.add_api_route("/session/", create_session, methods=["PUT"])
    router.add_api_route("/train/{model}", train, methods=["POST"])
    router.add_api_route("/scoring/{method}", score, methods=["POST"])
    router.add_api_route("/batch/infer/{model}", batch_infer, methods=["POST"])
    for path in ("/reload", "/ohif/{path:path}", "/proxy/{path:path}"):
        router.add_api_route(path, not_here, methods=["GET", "POST", "PUT", "DELETE"])
    router.add_api_route("/model/{model}", weights_are_versions, methods=["PUT", "DELETE"])
    return router


@contextmanager
def _tidy(background_tasks: BackgroundTasks) -> Iterator[None]:
    """Remove what a request uploaded also if it fails; FastAPI then drops its clean-up."""
    try:
        yield
    except BaseException:
        for task in background_tasks.tasks:
            task.func(*task.args, **task.kwargs)
        raise


def _parsed(params: str) -> dict[str, Any]:
    given = parse_json(params or "{}")
    if not isinstance(given, dict):
        raise HTTPException(400, "The parameters must be a JSON object.")
    return given
