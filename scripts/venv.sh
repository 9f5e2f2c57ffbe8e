#!/bin/sh
# venv.sh PYTHON FOLDER [PIP-INSTALL-ARGUMENT...]: a virtual environment with pip in it, and what to install there.
set -eu
python=$1 folder=$2
shift 2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; '$python' is older. Say which to use: make PYTHON=python3.11 ..." >&2
    exit 1
}

if [ ! -x "$folder/bin/pip" ]; then
    echo "making the virtual environment $folder"
    # Debian ships venv without ensurepip unless python3-venv is installed; pip itself can fill the gap.
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$folder"
    else
        "$python" -m venv --without-pip "$folder"
        "$python" -m pip --python "$folder/bin/python" install --quiet pip
    fi
fi

if [ $# -gt 0 ]; then
    echo "pip install $*"
    exec "$folder/bin/python" -m pip install --quiet "$@"
fi
