# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The MONAI Label app; needs ``pip install 'grata-monai[label]'``, all below it does not."""

from __future__ import annotations

from grata_monai.label.server.app import FundusApp

__all__ = ["FundusApp"]
