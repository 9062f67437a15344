# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI Label's server behind our routes, limits and page; ``grata-monai label start`` runs it.

``monailabel start_server --uvicorn_app grata_monai.label.server.asgi:app`` is the same by hand.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from monailabel.app import app as monai_label
from monailabel.config import settings
from monailabel.endpoints.user.auth import get_current_user
from monailabel.interfaces.exception import MONAILabelException

from grata_monai.label.server.auth import current_user
from grata_monai.label.server.errors import as_client_error, log_refusal
from grata_monai.label.server.guarded_routes import guarded_routes
from grata_monai.label.server.middleware import Guard, UploadLimit
from grata_monai.label.server.routes import own_routes
from grata_monai.label.settings import LabelSettings

_PAGE = Path(__file__).resolve().parents[1] / "page"


async def client_error(request: Request, error: Exception) -> Response:
    """Answer an error of MONAI Label's own routes that a client can cure."""
    answer = as_client_error(error)
    if answer is None:
        raise error
    log_refusal(answer, error)
    return JSONResponse({"detail": answer.detail}, answer.status_code)


def build_server(monai_label: FastAPI) -> FastAPI:
    """Return a server that answers our routes and passes the others on.

    Args:
        monai_label: MONAI Label's server; its errors and its sign-in are mended in place.
    """
    for kind in (MONAILabelException, ValueError, OSError):
        monai_label.add_exception_handler(kind, client_error)
    server = FastAPI(
        openapi_url=None, lifespan=lambda _: monai_label.router.lifespan_context(monai_label)
    )
    if settings.MONAI_LABEL_AUTH_ENABLE:
        for one in (server, monai_label):
            one.dependency_overrides[get_current_user] = current_user
    server.include_router(guarded_routes())
    server.include_router(own_routes())
    server.mount("/grata", StaticFiles(directory=_PAGE, html=True))
    server.mount("/", monai_label)
    own = LabelSettings.read(settings.MONAI_LABEL_APP_DIR, settings.MONAI_LABEL_APP_CONF)
    server.add_middleware(Guard, origins=own.cors_origins)
    if not settings.MONAI_LABEL_AUTH_ENABLE:  # a foreign name for this address is an attack
        server.add_middleware(TrustedHostMiddleware, allowed_hosts=own.hosts)
    server.add_middleware(UploadLimit, megabytes=own.max_upload_mb)
    # MONAI Label lets every page of the web call it, and cannot start with a shorter list
    monai_label.user_middleware[:] = [
        one for one in monai_label.user_middleware if one.cls is not CORSMiddleware
    ]
    server.add_middleware(
        CORSMiddleware,
        allow_origins=own.cors_origins,
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Native-Width", "X-Native-Height"],
    )
    return server


app = build_server(monai_label)
