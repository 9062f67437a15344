# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the server answers beside, and in place of, MONAI Label's own routes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    File,
    Form,
    HTTPException,
    Query,
    UploadFile,
)
from fastapi.responses import RedirectResponse, Response
from monailabel.config import settings
from monailabel.endpoints import datastore
from monailabel.endpoints.infer import ResultType, run_inference
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.utils.app import app_instance
from PIL import Image

from grata_monai.imaging import read_photograph
from grata_monai.label.server.datastore import FINAL
from grata_monai.label.server.errors import client_errors, plain_name
from grata_monai.label.versions import ModelVersions

Viewer = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]
Annotator = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))]
Admin = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))]
_RESERVED = {"model", "image", "session", "user", "label", "description"}


def infer(
    background_tasks: BackgroundTasks,
    user: Viewer,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
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
        return run_inference(
            background_tasks, model, image, session_id, json.dumps(wanted), file, label, output
        )


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
        return datastore.add_image(background_tasks, image, params, file, user.username)


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


def preview(
    user: Viewer, image: str, size: Annotated[int, Query(ge=64, le=4096)] = 1600
) -> Response:
    """Return a study as JPEG, whatever its format, with its real size in two headers."""
    with client_errors():
        photograph = read_photograph(_path(image))
    width, height = photograph.size
    photograph.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    photograph.save(buffer, format="JPEG", quality=90)
    headers = {
        "X-Native-Width": str(width),
        "X-Native-Height": str(height),
        "Cache-Control": "private, max-age=300",
    }
    return Response(buffer.getvalue(), media_type="image/jpeg", headers=headers)


def send_back(
    user: Annotator,
    image: str,
    note: Annotated[str, Form()] = "",
    client_id: Annotated[str, Form()] = "",
) -> dict[str, Any]:
    """Mark a study as one to look at again, by somebody else first."""
    app_instance().datastore().send_back(image, note, user=user.username, client_id=client_id)
    return {}


def versions(user: Viewer) -> dict[str, Any]:
    """Return the versions of the model, oldest first, and which is served."""
    store = _versions()
    with client_errors():
        listed = [{**one.info, "name": one.name} for one in store.all()]
        return {"current": store.current().name, "versions": listed}


def use_version(user: Admin, name: str) -> dict[str, Any]:
    """Serve another version of the model from the next request on."""
    with client_errors():
        _versions().make_current(name)
    return versions(user)


def to_page() -> RedirectResponse:
    """Lead to the page also without the last slash."""
    return RedirectResponse("/grata/")


def sign_in_needed() -> dict[str, bool]:
    """Tell whether a client has to sign in."""
    return {"enabled": settings.MONAI_LABEL_AUTH_ENABLE}


def weights_are_versions(user: Viewer, model: str) -> None:
    """Refuse to overwrite or remove the weights of a version."""
    raise HTTPException(
        405, "Weights are kept as versions. Add some with 'grata-monai label add APP FILE'."
    )


def own_routes() -> APIRouter:
    """Return the routes that come before MONAI Label's."""
    router = APIRouter()
    router.add_api_route("/infer/{model}", infer, methods=["POST"], tags=["Infer"])
    for path in ("/datastore/", "/datastore/image"):
        router.add_api_route(path, add_image, methods=["PUT"], tags=["Datastore"])
    router.add_api_route("/datastore/label", save_label, methods=["PUT"], tags=["Datastore"])
    router.add_api_route("/model/{model}", weights_are_versions, methods=["PUT", "DELETE"])
    router.add_api_route("/grata", to_page, methods=["GET"], include_in_schema=False)
    router.add_api_route("/grata/auth", sign_in_needed, methods=["GET"], tags=["grata"])
    router.add_api_route("/grata/preview", preview, methods=["GET"], tags=["grata"])
    router.add_api_route("/grata/send-back", send_back, methods=["POST"], tags=["grata"])
    router.add_api_route("/grata/versions", versions, methods=["GET"], tags=["grata"])
    router.add_api_route(
        "/grata/versions/{name}/current", use_version, methods=["POST"], tags=["grata"]
    )
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
    given = json.loads(params or "{}")
    if not isinstance(given, dict):
        raise HTTPException(400, "The parameters must be a JSON object.")
    return given


def _versions() -> ModelVersions:
    found: ModelVersions = app_instance().service.versions
    return found


def _path(image: str) -> str:
    path: str = app_instance().datastore().get_image_uri(image)
    if not path:
        plain_name(image, "image")
        raise HTTPException(404, f"There is no study {image!r}.")
    return path
