#!/usr/bin/env bash
# Make .venv beside this checkout with the package and, if asked, its development tools.
# Usage: bash scripts/setup.sh [EXTRA]   e.g. "dev"
# PYTHON chooses the interpreter (3.10 or newer), VENV the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-}"
if [ -z "$python" ]; then
  for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      python="$candidate"
      break
    fi
  done
fi
if [ -z "$python" ]; then
  echo "Python 3.10 or newer is needed; none was found. Set PYTHON to one." >&2
  exit 1
fi

venv="${VENV:-.venv}"
extra="${1:-}"
stamp="$venv/.installed-${extra:-core}"
if [ -f "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ]; then
  exit 0
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing into $venv (once; a few minutes) ..."
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
# torch first and by itself: this exact build is small where a CPU build is offered; a range
# would take the newest one with several GB of GPU libraries. TORCH overrides it.
"$venv/bin/python" -c 'import torch' 2>/dev/null || pip install --quiet "${TORCH:-torch==2.13.0}"
pip install --quiet --editable ".${extra:+[$extra]}"
touch "$stamp"
