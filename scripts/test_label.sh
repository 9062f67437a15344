#!/usr/bin/env bash
# Set up .venv-label and run there what needs MONAI Label, and what its older packages could break.
# Usage: bash scripts/test_label.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup_label.sh
python="${VENV:-.venv-label}/bin/python"
"$python" -c 'import pytest, selenium' 2>/dev/null ||
  "$python" -m pip --disable-pip-version-check install --quiet "pytest>=8.0" "selenium>=4.20"
"$python" -m pytest tests/label tests/imaging/test_dicom.py grata_monai/label "$@"
