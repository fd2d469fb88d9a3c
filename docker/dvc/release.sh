#!/bin/sh
# pindet in the agent's clone of the project: release promote --stage production
set -eu
cd "${AGENT_PROJECT:-/dvc/work/project}"
exec pindet "$@"
