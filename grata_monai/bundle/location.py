# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Where the bundle lies."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_CHECKOUT = _PACKAGE.parent / "bundles" / "grata"
_IN_WHEEL = _PACKAGE / "_bundles" / "grata"


def bundle_dir() -> Path:
    """Return the bundle of this checkout, or the copy that an installed package carries.

    Raises:
        FileNotFoundError: If the installation has neither.
    """
    for folder in (_IN_CHECKOUT, _IN_WHEEL):
        if (folder / "configs" / "metadata.json").is_file():
            return folder
    raise FileNotFoundError(
        f"This installation has no bundle, neither in {_IN_CHECKOUT} nor in {_IN_WHEEL}; "
        "install grata-monai again."
    )


def bundle_root() -> str:
    """Return the bundle's folder for its own configs.

    Relative to the working directory where that is the repository or the bundle itself (also a
    copy of it, as in the model zoo), else as ``bundle_dir`` says.
    """
    for folder in ("bundles/grata", "."):
        if Path(folder, "configs", "metadata.json").is_file():
            return folder
    return str(bundle_dir())
