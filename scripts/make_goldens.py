# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Write tests/goldens/grata_tiny.json: numbers of the plain textbook GraTa in float64.

Run from the repository root: python scripts/make_goldens.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.parity.golden_stream import (  # noqa: E402
    golden_images,
    golden_network,
    golden_strong_views,
)
from tests.parity.textbook import textbook_grata  # noqa: E402


def main() -> None:
    """Run the stream and write its numbers."""
    results = textbook_grata(golden_network(), golden_images(), golden_strong_views(), beta=0.05)
    golden = {"beta": 0.05, "steps": [numbers for _, numbers in results]}
    path = REPOSITORY / "tests" / "goldens" / "grata_tiny.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
