#!/usr/bin/env bash
# Set up .venv-label, then start the annotation server; Ctrl-C stops it.
# Usage: bash scripts/label.sh
#          a demo in label_demo/: synthetic photographs and a small model trained on others
#        bash scripts/label.sh --weights source.pt --studies photographs [--app label_app] [OPTIONS]
#          your own. OPTIONS are those of "grata-monai label start", e.g. --port 8080, and those of
#          "grata-monai label init" for how the model was trained, e.g. --size 256 --roi-size 512.
#          An app that exists is started as it is: --weights and the latter are for making it.
set -euo pipefail
here="$PWD"
cd "$(dirname "$0")/.."

# from_here PATH: the path as the caller means it
from_here() {
  case "$1" in
    /*) echo "$1" ;;
    *) echo "$here/$1" ;;
  esac
}

app="" weights="" studies="" given=$#
options=() settings=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      grep '^# ' scripts/label.sh | sed -n '1,7s/^# //p'
      exit 0
      ;;
    --*=*) # --name=value is --name value
      set -- "${1%%=*}" "${1#*=}" "${@:2}"
      continue
      ;;
    --regions) settings+=("$1") ;;
    --app | --weights | --studies | --size | --roi-size | --method | --beta | --locator | --device | \
      --max-upload-mb)
      if [ $# -lt 2 ]; then
        echo "$1 needs a value." >&2
        exit 2
      fi
      case "$1" in
        --app) app="$(from_here "$2")" ;;
        --weights) weights="$(from_here "$2")" ;;
        --studies) studies="$(from_here "$2")" ;;
        *) settings+=("$1" "$2") ;;
      esac
      shift
      ;;
    *) options+=("$1") ;;
  esac
  shift
done

# What is missing is said before anything is installed.
if [ "$given" -gt 0 ]; then
  app="${app:-$here/label_app}"
  problem=""
  if [ ! -f "$app/main.py" ] && [ -z "$weights" ]; then
    problem="$app is no app yet. Make it of a source model: --weights FILE."
  elif [ -n "$weights" ] && [ ! -f "$weights" ]; then
    problem="There is no file $weights."
  elif [ -z "$studies" ]; then
    problem="Give the folder of photographs: --studies FOLDER."
  elif [ ! -d "$studies" ]; then
    problem="There is no folder $studies."
  fi
  if [ -n "$problem" ]; then
    echo "$problem" >&2
    exit 2
  fi
fi

bash scripts/setup_label.sh
grata_monai="${VENV:-.venv-label}/bin/grata-monai"
if [ "$given" -eq 0 ]; then
  app=label_demo
  studies="$app/studies"
  [ -f "$app/main.py" ] || "$grata_monai" label demo "$app"
elif [ -f "$app/main.py" ]; then
  [ -z "$weights" ] ||
    echo "$app exists: --weights is ignored. Add it: $grata_monai label add $app $weights" >&2
else
  # An empty array counts as unset in the bash of macOS.
  "$grata_monai" label init "$app" --weights "$weights" ${settings[@]+"${settings[@]}"}
fi
exec "$grata_monai" label start "$app" --studies "$studies" ${options[@]+"${options[@]}"}
