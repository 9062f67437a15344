# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is collected; fixtures are in ``tests/conftest.py``."""

from __future__ import annotations

from importlib.util import find_spec

# Doctests import every module, and this package imports the extra "label".
collect_ignore = [] if find_spec("monailabel") else ["grata_monai/label/server"]
