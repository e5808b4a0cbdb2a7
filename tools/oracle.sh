#!/usr/bin/env bash
# Makes the Python environment of the oracles (transformers, tokenizers, safetensors, h5py, Jinja2) and runs a script in it: 100 s and 6 GB, once.
# usage: tools/oracle.sh SCRIPT.py [ARGUMENT...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
environment=${XDG_CACHE_HOME:-$HOME/.cache}/dslite/oracle-$(sha256sum "$here/oracle_requirements.txt" | cut -c1-12)
if [ ! -e "$environment/complete" ]; then
  echo "oracle: making $environment" >&2
  rm -rf "$environment"
  python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/oracle_requirements.txt"
  touch "$environment/complete"
fi
exec "$environment/bin/python" "$@"
