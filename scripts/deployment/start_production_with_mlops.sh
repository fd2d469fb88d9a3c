#!/usr/bin/env bash
# The production stack: preflight, start, wait until every service is healthy, check, and say where it is.
#   start_production_with_mlops.sh [--init] [--build]   start, or bring a running stack in line with its settings
#   … --init       first write .env.prod with new secrets; if it is there, add what a newer version wants
#   … --build      build the images anew, though they are there
#   … --dry-run    preflight, and what would be done; changes nothing
#   … --status     what runs, and whether it does its work
#   … --stop       stop; data, volumes and settings stay
#   … --skip-check start without the check at the end
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/deployment/common.sh
. "$HERE/common.sh"

WAIT_SECONDS=${WAIT_SECONDS:-300}
mode=start init='' build='' check=1
for argument in "$@"; do
    case $argument in
        --init) init=1 ;;
        --build) build=1 ;;
        --dry-run | --status | --stop) mode=${argument#--} ;;
        --skip-check) check= ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) die "unknown argument $argument; see --help" ;;
    esac
done

images() {
    local version name api
    version=$(setting PINDET_VERSION dev)
    api=api
    [ "$(setting GPU off)" != on ] || api="api-gpu"
    for name in "$api" frontend mlflow dvc; do printf 'pindet-%s:%s\n' "$name" "$version"; done
}

missing_images() {
    local image
    for image in $(images); do docker image inspect "$image" >/dev/null 2>&1 || printf '%s ' "$image"; done
}

make_folders() {
    local folder
    for folder in "${FOLDERS[@]}"; do mkdir -p "$ROOT/$folder"; done
    for folder in "${WRITABLE[@]}"; do own "$ROOT/$folder"; done
}

build_images() {
    local missing
    missing=$(missing_images)
    [ -n "$build$missing" ] || return 0
    printf 'building images%s\n' "${missing:+: $missing}"
    PINDET_OFFLINE=${PINDET_OFFLINE:-0} compose build
}

# wait_for SERVICE...: until each is healthy, or one can not become so.
wait_for() {
    local until=$((SECONDS + WAIT_SECONDS)) service states told=""
    for service in "$@"; do
        while :; do
            # shellcheck disable=SC2046  # one id a word
            states=$(docker inspect --format '{{.State.Status}}/{{.State.Health.Status}}' \
                $(compose ps --all --quiet "$service") 2>/dev/null | sort -u | tr '\n' ' ') || states=
            [ "$states" = 'running/healthy ' ] && break
            if [ "$SECONDS" -ge "$until" ]; then
                fail "$service: ${states:-not started} after $WAIT_SECONDS s; its last lines:"
                compose logs --no-log-prefix --tail 15 "$service" | sed 's/^/      /'
                return 1
            fi
            [ "$told" = "$service$states" ] || printf 'wait  %s: %s\n' "$service" "${states:-not started}"
            told=$service$states
            sleep 1
        done
        pass "$service: healthy"
    done
}

addresses() {
    local scheme=http host
    [ "$(setting TLS off)" = on ] && scheme=https
    host=$(hostname -f 2>/dev/null || hostname)
    cat <<TEXT
page      $scheme://$host:$(setting FRONTEND_PORT 8080)/          sign in as $(setting ADMIN_USER admin), password: ADMIN_PASSWORD in $(basename "$ENV_FILE")
api       $scheme://$host:$(setting FRONTEND_PORT 8080)/docs
mlflow    $scheme://$host:$(setting FRONTEND_PORT 8080)/mlflow/   sign in as $(setting MLFLOW_ADMIN_USER admin), password: MLFLOW_ADMIN_PASSWORD
on this host only: api http://127.0.0.1:$(setting API_PORT 8000), mlflow http://127.0.0.1:$(setting MLFLOW_PORT 5000), PostgreSQL $(setting POSTGRES_PORT 5432), Redis $(setting REDIS_PORT 6379)
TEXT
    [ "${SERVICES[-1]}" != grafana ] || printf '%s\n' \
        "monitoring: Grafana http://127.0.0.1:$(setting GRAFANA_PORT 3000) (user admin, password: GRAFANA_PASSWORD), Prometheus http://127.0.0.1:$(setting PROMETHEUS_PORT 9090)"
}

start() {
    if [ -n "$init" ]; then "$HERE/make_settings.sh" --complete; fi
    "$HERE/preflight.sh" || die "nothing was started"
    make_folders
    build_images
    "$HERE/preflight.sh" --model || die "nothing was started"
    compose_server up --detach --remove-orphans=false
    wait_for database redis api frontend || die "the stack is not up; see docs/deployment.md, Troubleshooting"
    compose_mlops up --detach --remove-orphans=false
    wait_for "${SERVICES[@]:4}" || die "the stack is not up; see docs/deployment.md, Troubleshooting"
    if [ -n "$check" ]; then "$HERE/post_deploy_check.sh" || die "it runs, and a check failed"; fi
    addresses
}

case $mode in
    start)
        mkdir -p "$ROOT/logs"
        start 2>&1 | tee -a "$ROOT/logs/start-$(date +%Y%m%d).log"
        exit "${PIPESTATUS[0]}"
        ;;
    dry-run)
        status=0
        if [ -n "$init" ] && [ ! -e "$ENV_FILE" ]; then
            printf 'would write %s with new secrets\n' "$ENV_FILE"
            # The checks are made with such settings, which go away again.
            trial=$(mktemp -d)
            trap 'rm -rf "$trial"' EXIT
            export PINDET_ENV_FILE=$trial/.env.prod
            "$HERE/make_settings.sh" >/dev/null
        fi
        "$HERE/preflight.sh" || status=1
        if command -v docker >/dev/null; then printf 'would build: %s\n' "${build:+all }$(missing_images)"; fi
        printf 'would start: %s\n' "${SERVICES[*]}"
        exit "$status"
        ;;
    status)
        compose ps --all
        exec "$HERE/post_deploy_check.sh"
        ;;
    stop)
        compose --profile training --profile monitoring down --remove-orphans
        printf 'stopped; data, volumes and %s stay\n' "$(basename "$ENV_FILE")"
        ;;
esac
