# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what: arguments of routes, by MONAI Label's roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User

Viewer = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]
Annotator = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))]
Admin = Annotated[User, Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))]
