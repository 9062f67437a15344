#!/usr/bin/env bash
# Set up .venv and run everything that must pass: format, lint, types, spelling, tests.
# Usage: bash scripts/test.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
bin="${VENV:-.venv}/bin"

"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/codespell" grata_monai bundles scripts tests README.md CHANGELOG.md CONTRIBUTING.md
# Two processes with a thread each take half the time of one with two.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$bin/python" -m pytest --numprocesses 2 --dist loadfile "$@"
