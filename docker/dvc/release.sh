#!/bin/sh
# pindet in the agent's clone of the project, brought up to date: release promote --stage production
set -eu
python /opt/pindet/stack/follow.py
cd "${AGENT_PROJECT:-/dvc/work/project}"
exec pindet "$@"
