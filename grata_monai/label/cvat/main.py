# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""CVAT's side: a nuclio function that asks a server of ``grata-monai label start``.

It runs in a container of its own, without this package, so it uses the standard library alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

_BOUNDARY = "grata-monai-" + uuid.uuid4().hex
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"II*\x00": ".tif", b"MM\x00*": ".tif"}


def init_context(context: Any) -> None:
    """Read the settings when the container starts; the server need not run yet."""
    context.user_data.server = os.environ.get("GRATA_SERVER", "http://127.0.0.1:8000").rstrip("/")
    context.user_data.model = os.environ.get("GRATA_MODEL", "fundus")
    context.user_data.params = json.loads(os.environ.get("GRATA_PARAMS", "{}"))
    context.user_data.token = os.environ.get("GRATA_TOKEN", "")
    context.logger.info(f"Photographs go to {context.user_data.server}")


def handler(context: Any, event: Any) -> Any:
    """Return the polygons of the photograph ``event.body["image"]`` (base64) as CVAT wants them.

    What the server refuses comes back with the server's status and words; 502 says that it could
    not be reached.
    """
    try:
        image = base64.b64decode(_body(event)["image"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        return _response(context, 400, f"the body must be JSON with a base64 'image' ({error!r})")
    settings = context.user_data
    try:
        result = _infer(settings.server, settings.model, image, settings.params, settings.token)
    except urllib.error.HTTPError as error:
        return _response(context, error.code, _reason(error))
    except (OSError, ValueError) as error:
        return _response(context, 502, f"{settings.server} gave no answer to use: {error}")
    return _response(context, 200, list(_shapes(result)))


def _body(event: Any) -> Any:
    """Return the parsed body: depending on its version and content type, nuclio parses or not."""
    return json.loads(event.body) if isinstance(event.body, (bytes, str)) else event.body


def _infer(server: str, model: str, image: bytes, params: Mapping[str, Any], token: str) -> Any:
    suffix = next((end for start, end in _SUFFIXES.items() if image.startswith(start)), ".jpg")
    parts = (
        ('name="params"', "application/json", json.dumps(params).encode()),
        (f'name="file"; filename="frame{suffix}"', "application/octet-stream", image),
    )
    form = b"".join(
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n"
        f"Content-Type: {kind}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, kind, content in parts
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(
        f"{server}/infer/{urllib.parse.quote(model, safe='')}?output=json",
        data=form + f"--{_BOUNDARY}--\r\n".encode(),
        headers=headers,
    )
    with urllib.request.urlopen(request, timeout=110) as answer:
        return json.load(answer)


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the server's own words; a gateway before it may have answered in another form."""
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return text


def _shapes(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """CVAT wants one flat list x1, y1, x2, y2, ... per polygon, of three points or more."""
    confidence = result.get("confidence")
    for group in result.get("annotations") or []:
        for structure in group["annotations"]:
            for contour in structure["contours"]:
                if len(contour) >= 3:
                    yield {
                        "confidence": str(1.0 if confidence is None else confidence),
                        "label": structure["label"],
                        "points": [float(number) for point in contour for number in point],
                        "type": "polygon",
                    }


def _response(context: Any, status: int, body: Any) -> Any:
    if status != 200:
        context.logger.error(f"{status}: {body}")
        body = {"detail": body}
    return context.Response(
        body=json.dumps(body), headers={}, content_type="application/json", status_code=status
    )
