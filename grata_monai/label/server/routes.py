# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the server answers beside MONAI Label's own routes: for the page, mostly."""

from __future__ import annotations

import io
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Form,
    HTTPException,
    Query,
)
from fastapi.responses import RedirectResponse, Response
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance
from PIL import Image

from grata_monai.imaging import read_photograph
from grata_monai.label.server.errors import client_errors, plain_name
from grata_monai.label.server.roles import Admin, Annotator, Viewer
from grata_monai.label.service import check_photograph
from grata_monai.label.versions import ModelVersions


def preview(
    user: Viewer, image: str, size: Annotated[int, Query(ge=64, le=4096)] = 1600
) -> Response:
    """Return a study as JPEG, whatever its format, with its real size in two headers."""
    with client_errors():
        path = _path(image)
        check_photograph(path)
        photograph = read_photograph(path)
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
    with client_errors():
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


def own_routes() -> APIRouter:
    """Return the routes below /grata."""
    router = APIRouter()
    router.add_api_route("/grata", to_page, methods=["GET"])
    router.add_api_route("/grata/auth", sign_in_needed, methods=["GET"])
    router.add_api_route("/grata/preview", preview, methods=["GET"])
    router.add_api_route("/grata/send-back", send_back, methods=["POST"])
    router.add_api_route("/grata/versions", versions, methods=["GET"])
    router.add_api_route("/grata/versions/{name}/current", use_version, methods=["POST"])
    return router


def _versions() -> ModelVersions:
    found: ModelVersions = app_instance().service.versions
    return found


def _path(image: str) -> str:
    path: str = app_instance().datastore().get_image_uri(image)
    if not path:
        plain_name(image, "image")
        raise HTTPException(404, f"There is no study {image!r}.")
    return path
