# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Who is asking: MONAI Label's sign-in by OpenID Connect, made to work with today's PyJWT."""

from __future__ import annotations

from typing import Any

import jwt
import requests
from fastapi import Depends, HTTPException
from monailabel.config import settings
from monailabel.endpoints.user.auth import User, get_public_key, oauth2_scheme

_OPTIONS: Any = {"verify_aud": False, "require": ["exp"]}
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256"]


def signed_in_user(token: str) -> User:
    """Return the user that a token of the realm names.

    Differs from MONAI Label's ``from_token``: it names the algorithms of public keys, without which
    PyJWT 2 refuses every token. Settings are MONAI Label's ``MONAI_LABEL_AUTH_*``.

    Args:
        token: What the client sent as bearer.

    Raises:
        HTTPException: 401 if the token is none of the realm or expired, 503 if the realm does not
            answer.
    """
    try:
        key = get_public_key(settings.MONAI_LABEL_AUTH_REALM_URI)
        claims = jwt.decode(token, key, algorithms=_ALGORITHMS, options=_OPTIONS)
    except jwt.InvalidTokenError as error:
        raise HTTPException(
            401, f"Sign in again: {error}.", headers={"WWW-Authenticate": "Bearer"}
        ) from error
    except requests.RequestException as error:
        raise HTTPException(503, "The sign-in service does not answer; try again later.") from error
    roles = claims
    for part in settings.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#"):
        roles = roles.get(part, {}) if isinstance(roles, dict) else {}
    username = claims.get(settings.MONAI_LABEL_AUTH_TOKEN_USERNAME)
    if not isinstance(username, str) or not username:
        raise HTTPException(401, "The token names no user.")
    return User(
        username=username,
        email=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_EMAIL)),
        name=_text(claims.get(settings.MONAI_LABEL_AUTH_TOKEN_NAME)),
        roles=[str(role) for role in roles] if isinstance(roles, list) else [],
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def current_user(token: str = Depends(oauth2_scheme)) -> User:
    """Return who is asking, in place of MONAI Label's function where there is a sign-in."""
    return signed_in_user(token)
