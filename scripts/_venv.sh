# Functions shared by the scripts that make an environment. Source it from the repository's root.

# find_python LOWEST HIGHEST: print the interpreter to use. PYTHON chooses it.
find_python() {
  local lowest="$1" highest="$2" candidate
  if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
  else
    set -- python3 python3.13 python3.12 python3.11 python3.10 python
  fi
  for candidate in "$@"; do
    if python_fits "$candidate" "$lowest" "$highest"; then
      echo "$candidate"
      return
    fi
  done
  echo "No Python from $lowest to $highest: tried $*. Set PYTHON to one." >&2
  return 1
}

# python_fits PYTHON LOWEST HIGHEST, e.g. python3 3.10 3.12
python_fits() {
  command -v "$1" >/dev/null 2>&1 && "$1" - "$2" "$3" 2>/dev/null <<'PY'
import sys

lowest, highest = (tuple(map(int, text.split("."))) for text in sys.argv[1:])
sys.exit(not lowest <= sys.version_info[:2] <= highest)
PY
}

# is_fresh STAMP: whether nothing that the installation depends on changed since STAMP was made
is_fresh() {
  [ -f "$1" ] && [ ! pyproject.toml -nt "$1" ]
}

venv_pip() {
  "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}

# make_venv_with_torch PYTHON: make $venv, with torch as its first package
make_venv_with_torch() {
  [ -x "$venv/bin/python" ] || "$1" -m venv "$venv"
  echo "Installing into $venv (once; a few minutes) ..."
  # torch first and by itself: this exact build is small where a CPU build is offered; a range
  # would take the newest one with several GB of GPU libraries. TORCH overrides it.
  "$venv/bin/python" -c 'import torch' 2>/dev/null ||
    venv_pip install --quiet "${TORCH:-torch==2.13.0}"
}
