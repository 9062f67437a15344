# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Every method written the plain way: the baseline of speed measurements and an oracle of tests.

Nothing in here imports anything of the package outside of this folder.
"""

from __future__ import annotations

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.network import PlainResUNet, plain_copy
from grata_monai.benchmark.textbook.registry import TEXTBOOK, build_textbook
from grata_monai.benchmark.textbook.strong_view import StrongView

__all__ = ["TEXTBOOK", "PlainResUNet", "StrongView", "Textbook", "build_textbook", "plain_copy"]
