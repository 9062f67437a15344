#!/usr/bin/env bash
# Set up .venv, then train a small source model on synthetic images and adapt it to three
# other domains. Prints a table; pictures go to demo_output/.
# Usage: bash scripts/demo.sh [OPTIONS OF grata-monai demo]
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec "${VENV:-.venv}/bin/grata-monai" demo "$@"
