#!/usr/bin/env bash
# Whether the running stack does what it is for: every service healthy, sign-in, a detection, the socket, an MLflow run
# written and read, a DVC push and pull. One line a check; exits with 1 if any failed.
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for service in "${SERVICES[@]}"; do
    ids=$(compose ps --quiet "$service" 2>/dev/null || true)
    if [ -z "$ids" ]; then
        fail "$service: does not run"
        continue
    fi
    # shellcheck disable=SC2086  # one id a word
    bad=$(docker inspect --format '{{.Name}} {{.State.Health.Status}}' $ids | grep -v ' healthy$' || true)
    if [ -z "$bad" ]; then pass "$service: healthy ($(wc -l <<<"$ids"))"; else fail "$service: $bad"; fi
done

inside() {   # SERVICE COMMAND...: what the check in a container says is counted here
    local said
    if ! said=$(compose exec -T -e CHECK_TLS="$(setting TLS off)" "$@" 2>&1); then
        failures=$((failures + 1))
    fi
    printf '%s\n' "$said"
}
inside api python /opt/pindet/stack/check.py
inside dvc python /opt/pindet/stack/check.py

if [ "$failures" -gt 0 ]; then
    printf 'check: %s failed\n' "$failures"
    exit 1
fi
printf 'check: all passed\n'
