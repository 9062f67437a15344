#!/usr/bin/env bash
# Look up every installed package of an environment in the public databases of vulnerabilities.
# Usage: bash scripts/audit.sh   (needs the internet; VENV chooses the environment)
# Exit code 1: vulnerabilities. 2: a package could not be looked up, so that nothing is known of it.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh dev
python="${VENV:-.venv}/bin/python"
tool=".venv-audit" # of its own, so that the audit does not change what it audits
[ -x "$tool/bin/pip-audit" ] || {
  "$python" -m venv "$tool"
  "$tool/bin/python" -m pip --disable-pip-version-check install --quiet "pip-audit>=2.7"
}
packages="$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
found="$(mktemp)"
trap 'rm -f "$found"' EXIT
"$tool/bin/pip-audit" --path "$packages" --progress-spinner off --format json --output "$found" || true
"$python" - "$found" <<'PY'
import json
import sys

text = open(sys.argv[1], encoding="utf-8").read()
packages = json.loads(text)["dependencies"] if text else []
bad = [(p["name"], p["version"], v) for p in packages for v in p.get("vulns", ())]
unknown = [p["name"] for p in packages if "skip_reason" in p and p["name"] != "grata-monai"]
for name, version, vulnerability in bad:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
    print(f"{name} {version}: {vulnerability['id']}, fixed in {fixed}")
print(f"{len(packages)} packages, {len(bad)} vulnerabilities, {len(unknown)} not looked up", *unknown)
sys.exit(1 if bad else 2 if unknown or not packages else 0)
PY
