#!/usr/bin/env bash
# Set up .venv-label, then start the annotation server; Ctrl-C stops it.
# Usage: bash scripts/label.sh
#          a demo in label_demo/: synthetic photographs and a small model trained on others
#        bash scripts/label.sh --weights source.pt --studies photographs [--app label_app] [OPTIONS]
#          your own. OPTIONS are those of "grata-monai label start", e.g. --port 8080, and those of
#          "grata-monai label init" for how the model was trained, e.g. --size 256 --roi-size 512.
#          An app that exists is started as it is: --weights and the latter are for making it.
set -euo pipefail
cd "$(dirname "$0")/.."

app="" weights="" given=$#
options=() settings=()
while [ $# -gt 0 ]; do
  case "$1" in
    --app | --weights)
      if [ $# -lt 2 ]; then
        echo "$1 needs a value." >&2
        exit 2
      fi
      if [ "$1" = --app ]; then app="$2"; else weights="$2"; fi
      shift
      ;;
    --app=*) app="${1#*=}" ;;
    --weights=*) weights="${1#*=}" ;;
    --regions) settings+=("$1") ;;
    --size | --roi-size | --method | --beta | --locator | --device | --max-upload-mb)
      settings+=("$1" "${2:-}")
      [ $# -lt 2 ] || shift
      ;;
    *) options+=("$1") ;;
  esac
  shift
done
if [ "$given" -gt 0 ] && [ ! -f "${app:=label_app}/main.py" ] && [ -z "$weights" ]; then
  echo "$app is no app yet. Make it of a source model: --weights FILE." >&2
  exit 2
fi

bash scripts/setup_label.sh
grata_monai="${VENV:-.venv-label}/bin/grata-monai"
if [ "$given" -eq 0 ]; then
  app=label_demo
  [ -f "$app/main.py" ] || "$grata_monai" label demo "$app"
  options=(--studies "$app/studies")
elif [ -f "$app/main.py" ]; then
  [ -z "$weights" ] ||
    echo "$app exists: --weights is ignored. Add it: $grata_monai label add $app $weights" >&2
else
  "$grata_monai" label init "$app" --weights "$weights" ${settings[@]+"${settings[@]}"}
fi
# An empty array counts as unset in the bash of macOS.
exec "$grata_monai" label start "$app" ${options[@]+"${options[@]}"}
