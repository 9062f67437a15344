# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Time methods beside their textbook form; ``grata-monai benchmark speed`` from a checkout.

python scripts/time_methods.py --methods grata --sizes 512 --repeats 5
python scripts/time_methods.py --help
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grata_monai.cli.main import main

if __name__ == "__main__":
    main(["benchmark", "speed", *sys.argv[1:]], prog_name="time_methods.py")
