#!/usr/bin/env bash
# Fills docker/wheelhouse with the locked wheels that the images are built from, on a machine that has a package index.
# Copied to one without, with PINDET_OFFLINE=1 in the environment, the images build from it alone.
#   wheelhouse.sh [--training]      with the training image's wheels as well, several GB
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

locks=(docker/requirements/build.txt requirements/serve.txt docker/requirements/mlflow.txt docker/requirements/agent.txt)
case ${1:-} in
    '') ;;
    --training) locks+=(requirements/pipeline.txt) ;;
    *) die "unknown argument $1; allowed is --training" ;;
esac
cd "$ROOT"
for lock in "${locks[@]}"; do
    # Most are wheels; what is given as source only is made one, of the very source that the lock names.
    "${PYTHON:-python3.11}" -m pip wheel --quiet --no-deps --require-hashes --wheel-dir docker/wheelhouse -r "$lock"
done
printf '%s wheels, %s, in docker/wheelhouse\n' "$(find docker/wheelhouse -name '*.whl' | wc -l)" \
    "$(du -sh docker/wheelhouse | cut -f1)"
