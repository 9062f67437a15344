#!/usr/bin/env bash
# Make .venv-label beside this checkout: the package with the annotation server (MONAI Label).
# It is an environment of its own because MONAI Label needs older packages than the rest.
# Usage: bash scripts/setup_label.sh
# PYTHON chooses the interpreter (3.10 to 3.12), VENV the folder, TORCH and TORCHVISION the builds.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/_venv.sh

venv="${VENV:-.venv-label}"
stamp="$venv/.installed-label"
is_fresh "$stamp" && exit 0
if [ -x "$venv/bin/python" ] && ! python_fits "$venv/bin/python" 3.10 3.12; then
  echo "MONAI Label needs Python 3.10 to 3.12, $venv has another one. Remove that folder." >&2
  exit 1
fi
python="$(find_python 3.10 3.12)"
make_venv_with_torch "$python"

# sam2, which MONAI Label depends on, comes as source and needs torch to be built. Left to itself
# pip would download a second torch for that.
venv_pip install --quiet "setuptools>=70.1" wheel
SAM2_BUILD_CUDA=0 venv_pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$venv/wheels" sam2

# The rest at once, so that pip weighs all requirements together; torch stays as it is.
constraints="$venv/constraints.txt"
"$venv/bin/python" -c 'from importlib.metadata import version; print("torch==" + version("torch"))' \
  >"$constraints"
venv_pip install --quiet --constraint "$constraints" --find-links "$venv/wheels" \
  "${TORCHVISION:-torchvision==0.28.0}" --editable ".[label]"
rm -r "$venv/wheels"

# A torchvision built for CUDA beside a torch built for the CPU cannot be imported. Where no other
# is to be had, a hook in this environment repairs its import.
site="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
rm -f "$site/_torchvision_hook.py" "$site/_torchvision_hook.pth"
if ! problem="$("$venv/bin/python" -c 'import torchvision' 2>&1)"; then
  if [[ "$problem" == *"operator torchvision::nms does not exist"* ]]; then
    cp scripts/_torchvision_hook.py "$site/"
    echo "import _torchvision_hook" >"$site/_torchvision_hook.pth"
    problem="$("$venv/bin/python" -c 'import torchvision' 2>&1)" && problem=""
  fi
  if [ -n "$problem" ]; then
    echo "$problem" >&2
    echo "torchvision cannot be imported. Set TORCH and TORCHVISION to builds that match." >&2
    exit 1
  fi
fi
touch "$stamp"
