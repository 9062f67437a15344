# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m grata_monai`` is the same as the console script ``grata-monai``."""

from __future__ import annotations

from grata_monai.cli.main import main

if __name__ == "__main__":
    main(prog_name="python -m grata_monai")
