# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Around all requests: limits of size, names that are no paths, headers for browsers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grata_monai.label.server.errors import plain_name

_HARMLESS = {"GET", "HEAD", "OPTIONS"}
_NAMES = ("image", "id", "label", "tag", "session_id")
_PAGE = "/grata/"
_PAGE_POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'self'"
_MEGABYTE = 2**20
_PATIENCE = 8  # times the limit


class UploadLimit:
    """ASGI middleware: HTTP 413 for a body above a limit, before it is stored.

    Args:
        app: What handles requests.
        megabytes: The limit.
    """

    def __init__(self, app: ASGIApp, megabytes: float) -> None:
        self.app = app
        self.megabytes = megabytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = int(self.megabytes * _MEGABYTE)
        if _announced(scope) > allowed:
            await _drain(receive, _PATIENCE * allowed)
            await JSONResponse({"detail": self._message()}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > allowed:  # FastAPI answers with it from within
                raise HTTPException(413, self._message())
            return message

        await self.app(scope, counted, send)

    def _message(self) -> str:
        return f"The upload is larger than {self.megabytes:g} MB, the limit of this server."


class Guard:
    """ASGI middleware: refuses names that could be paths, and pages of other servers.

    A browser sends some requests for any page, and asks nobody (cross-site request forgery): what
    would change something is refused (HTTP 403) unless the page came from this server or one in the
    list. Our own page may load what this server has, and nothing else.

    Args:
        app: What handles requests.
        origins: Addresses of other web viewers that may call.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str] = ()) -> None:
        self.app = app
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            _check_names(QueryParams(scope["query_string"]))
            self._check_origin(scope["method"], Headers(scope=scope))
        except HTTPException as error:
            answer = JSONResponse({"detail": error.detail}, error.status_code)
            await answer(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"].startswith(_PAGE):
                    headers["Content-Security-Policy"] = _PAGE_POLICY
            await send(message)

        await self.app(scope, receive, hardened)

    def _check_origin(self, method: str, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or method in _HARMLESS or origin in self.origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise HTTPException(
                403, f"Pages of {origin} may not change anything here (see cors_origins)."
            )


def _check_names(query: QueryParams) -> None:
    for key in _NAMES:
        for value in filter(None, query.getlist(key)):
            plain_name(value, key)


async def _drain(receive: Receive, most: int) -> None:
    """Take a body and forget it: many clients read no answer before they have sent all."""
    received, more = 0, True
    while more and received <= most:
        message = await receive()
        received += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)


def _announced(scope: Scope) -> int:
    """Return the size that the request announces, 0 if it does not."""
    headers: dict[bytes, Any] = dict(scope["headers"])
    try:
        return int(headers.get(b"content-length", b"0"))
    except ValueError:
        return 0
