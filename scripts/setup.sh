#!/usr/bin/env bash
# Make .venv beside this checkout with the package and, if asked, its development tools.
# Usage: bash scripts/setup.sh [EXTRA]   e.g. "dev"
# PYTHON chooses the interpreter (3.10 or newer), VENV the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/_venv.sh

python="$(find_python 3.10 3.99)"
venv="${VENV:-.venv}"
extra="${1:-}"
stamp="$venv/.installed-${extra:-core}"
is_fresh "$stamp" && exit 0
make_venv_with_torch "$python"
venv_pip install --quiet --editable ".${extra:+[$extra]}"
touch "$stamp"
