#!/bin/sh
# Installs locked packages into a virtual environment that itself has no pip.
#   install.sh FOLDER REQUIREMENTS... [-- PROJECT...]     e.g. install.sh /opt/pindet serve.txt -- ./serve
# Wheels that lie in docker/wheelhouse come first. With PINDET_OFFLINE=1 nothing else is asked, and a wheel that is
# missing stops the build. Whatever the source, each file is held to the hash that the lock file has for it.
set -eu

folder=$1
shift
[ "${PINDET_OFFLINE:-0}" = 1 ] && index=--no-index || index=
[ -x "$folder/bin/python" ] || python3 -m venv --without-pip "$folder"

install() {
    # shellcheck disable=SC2086  # an empty $index must vanish
    python3 -m pip --python "$folder/bin/python" install --disable-pip-version-check --root-user-action=ignore \
        --quiet --no-compile $index --find-links /wheelhouse --no-deps "$@"
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
    install --require-hashes -r "$1"
    shift
done
if [ $# -gt 1 ]; then
    shift
    # The lock of the build's own tool; it is removed again, as nothing needs it at run time.
    tools=$(mktemp -d)
    # shellcheck disable=SC2086
    python3 -m pip install --disable-pip-version-check --root-user-action=ignore --quiet $index \
        --find-links /wheelhouse --require-hashes --target "$tools" -r docker/requirements/build.txt
    PYTHONPATH=$tools install --no-build-isolation "$@"
    rm -rf "$tools"
fi
