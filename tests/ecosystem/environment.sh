#!/usr/bin/env bash
# environment.sh NAME FOLDER: an environment with the library NAME, which sees what is in .venv after its own packages; it stays
# as it is where it is whole already
set -e
here=$(dirname "$0") env=$2/$1
if [ "$env/installed" -nt "$here/$1.txt" ]; then exit 0; fi
rm -rf "$env"
"${PYTHON:-python3}" -m venv "$env"
site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/project.pth"
"$env/bin/python" -m pip install -q -r "$here/$1.txt"
"$env/bin/python" -m pip install -q --no-deps --force-reinstall -e .
touch "$env/installed"
