# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Make the folder of an annotation server's app."""

from __future__ import annotations

import os
from pathlib import Path

from grata_monai._files import write_text
from grata_monai.label.service import MODEL_FOLDER
from grata_monai.label.settings import LabelSettings
from grata_monai.label.versions import ModelVersion, ModelVersions

MAIN = '''"""MONAI Label app; everything is in grata_monai.label."""

from grata_monai.label.server import FundusApp as FundusApp
'''


def init_app(
    folder: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    settings: LabelSettings | None = None,
) -> ModelVersion:
    """Make an app: ``main.py``, ``settings.json`` and the source model as its first version.

    Args:
        folder: The app's folder; made if needed.
        weights: Source model; of this package or of the authors.
        settings: None for the defaults.

    Returns:
        The first version of the model.

    Raises:
        ValueError: If there is an app already, or ``weights`` is no source model; nothing is
            written then.
        OSError: If the folder cannot be written.
    """
    path = Path(folder)
    if (path / "main.py").exists():
        raise ValueError(
            f"{path} is an app already. Add a model to it by 'grata-monai label add {path} FILE', "
            "or choose another folder."
        )
    version = ModelVersions(path / MODEL_FOLDER).add(weights, kind="imported")
    (settings or LabelSettings()).write(path)
    write_text(path / "main.py", MAIN)  # last: it says that the app is complete
    return version
