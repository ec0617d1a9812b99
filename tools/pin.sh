#!/bin/sh
# Pin every dependency of pyproject.toml again, by name, version and hash (needs uv on the path).
set -eu
uv pip compile pyproject.toml --group dev --extra postgresql --universal --python-version 3.11 \
  --generate-hashes --no-header --no-annotate --quiet --upgrade --output-file constraints.txt
