#!/usr/bin/env bash
# Whether this host can run the stack: one line a check, pass or FAIL; exits with 1 if any failed. Changes nothing.
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

MIN_DISK_GB=${MIN_DISK_GB:-10}
MIN_MEMORY_GB=${MIN_MEMORY_GB:-7}

check_docker() {
    command -v docker >/dev/null || { fail "docker: not installed"; return; }
    docker info >/dev/null 2>&1 || { fail "docker: the engine does not answer; is it started, may $(id -un) use it?"; return; }
    pass "docker: engine $(docker version --format '{{.Server.Version}}')"
    local version
    version=$(docker compose version --short 2>/dev/null | sed 's/^v//') || version=
    case $version in
        '') fail "compose: docker compose is not installed" ;;
        0.* | 1.* | 2.[0-9].* | 2.1[0-9].*) fail "compose: $version; 2.20 or newer is needed" ;;
        *) pass "compose: $version" ;;
    esac
}

check_host() {
    local free memory
    free=$(df -Pk "$ROOT" | awk 'NR == 2 {print int($4 / 1048576)}')
    if [ "$free" -lt "$MIN_DISK_GB" ]; then
        fail "disk: $free GB free at $ROOT; $MIN_DISK_GB GB are needed (MIN_DISK_GB)"
    else
        pass "disk: $free GB free"
    fi
    memory=$(awk '/^MemTotal/ {print int($2 / 1048576 + 0.5)}' /proc/meminfo)
    if [ "$memory" -lt "$MIN_MEMORY_GB" ]; then
        fail "memory: $memory GB; $MIN_MEMORY_GB GB are needed (MIN_MEMORY_GB)"
    else
        pass "memory: $memory GB"
    fi
    local name cpus
    cpus=$(getconf _NPROCESSORS_ONLN)
    for name in API_CPUS DATABASE_CPUS MLFLOW_CPUS REDIS_CPUS; do
        if awk -v wanted="$(setting "$name" 1)" -v there="$cpus" 'BEGIN {exit !(wanted > there)}'; then
            fail "cpus: $name is $(setting "$name"); this host has $cpus"
        fi
    done
}

check_secrets() {
    [ -r "$ENV_FILE" ] || { fail "settings: $ENV_FILE is not there; run start_production_with_mlops.sh --init"; return; }
    local mode name value weak before=$failures seen=' ' secrets=("${SECRETS[@]}")
    case $(setting RELEASES_FROM_PAGE off) in
        on) secrets+=(RELEASE_SECRET) ;;
        off) [ -z "$(setting RELEASE_SECRET)" ] || secrets+=(RELEASE_SECRET) ;;
        *) fail "settings: RELEASES_FROM_PAGE is $(setting RELEASES_FROM_PAGE); on or off is allowed" ;;
    esac
    mode=$(stat -c %a "$ENV_FILE")
    [ "${mode: -2}" = 00 ] || fail "settings: others can read $ENV_FILE (mode $mode); chmod 600 $ENV_FILE"
    for name in "${secrets[@]}"; do
        value=$(setting "$name")
        weak=$(weakness "$value")
        [ -z "$weak" ] || { fail "secrets: $name $weak"; continue; }
        case $seen in *" $value "*) fail "secrets: $name is used twice; each needs its own" ;; esac
        seen+="$value "
    done
    [ "$failures" -ne "$before" ] || pass "secrets: ${#secrets[@]}, long and different; mode $mode"
}

check_settings() {
    docker compose version >/dev/null 2>&1 && [ -r "$ENV_FILE" ] || return 0
    local said
    if said=$(compose config --quiet 2>&1); then pass "settings: the compose files are complete"; else
        fail "settings: $said"
    fi
}

check_ports() {
    local name port service
    while read -r name port service; do
        port=$(setting "$name" "$port")
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            pass "port: $name $port is free"
        elif is_running "$service"; then
            pass "port: $name $port is $service's, which runs"
        else
            fail "port: $name $port is taken by another program; change it in $(basename "$ENV_FILE")"
        fi
    done <<<"FRONTEND_PORT 8080 frontend
API_PORT 8000 frontend
MLFLOW_PORT 5000 mlflow
POSTGRES_PORT 5432 database
REDIS_PORT 6379 redis"
}

check_folders() {
    local folder wanted owner before=$failures
    wanted=$(setting PINDET_UID 10001)
    for folder in "${WRITABLE[@]}"; do
        [ -e "$ROOT/$folder" ] || continue
        owner=$(stat -c %u "$ROOT/$folder")
        if [ "$owner" != "$wanted" ]; then
            if [ "$(id -u)" -eq 0 ]; then warn "folders: $folder/ is of user $owner; the start gives it to $wanted"
            else fail "folders: $folder/ is of user $owner, PINDET_UID is $wanted; chown it or change PINDET_UID"; fi
        fi
    done
    if [ "$(id -u)" -ne 0 ] && [ "$wanted" != "$(id -u)" ]; then
        fail "folders: PINDET_UID is $wanted and you are $(id -u); set it to $(id -u), or start as root"
    fi
    [ "$failures" -ne "$before" ] || pass "folders: ${FOLDERS[*]}"
}

check_model() {
    local image
    image=pindet-api:$(setting PINDET_VERSION dev)
    if [ -f "$ROOT/models/bundle/manifest.json" ]; then
        pass "model: a bundle is in models/bundle"
    elif docker volume inspect pindet_dvc_remote >/dev/null 2>&1 && docker image inspect "$image" >/dev/null 2>&1 &&
        docker run --rm --network none -v pindet_dvc_remote:/dvc/remote:ro "$image" \
            test -f /dvc/remote/releases/detector/production.json >/dev/null 2>&1; then
        pass "model: a release is in the DVC remote"
    else
        fail "model: nothing is released, and models/bundle has no bundle; run make repro, or copy a bundle there"
    fi
}

check_project() {
    local git
    git=$(setting PROJECT_GIT_DIR "$ROOT/.git")
    [[ $git = /* ]] || git=$ROOT/$git
    if [ -d "$git" ]; then pass "project: $git"; else
        fail "project: $git is no folder; the release agent needs the project's git repository (PROJECT_GIT_DIR)"
    fi
}

check_tls() {
    [ "$(setting TLS off)" = on ] || { warn "tls: off; passwords cross the network readable by others (TLS=on)"; return 0; }
    local certificate=$ROOT/config/tls/fullchain.pem key=$ROOT/config/tls/privkey.pem
    if [ ! -r "$certificate" ] || [ ! -r "$key" ]; then
        fail "tls: config/tls/fullchain.pem and privkey.pem are needed; make_certificate.sh makes some for trials"
    elif ! openssl x509 -in "$certificate" -noout -checkend 604800 >/dev/null 2>&1; then
        fail "tls: the certificate ends within a week: $(openssl x509 -in "$certificate" -noout -enddate 2>&1)"
    elif [ "$(openssl x509 -in "$certificate" -noout -pubkey)" != "$(openssl pkey -in "$key" -pubout 2>/dev/null)" ]; then
        fail "tls: privkey.pem is not the certificate's key"
    else
        pass "tls: $(openssl x509 -in "$certificate" -noout -enddate)"
    fi
}

check_gpu() {
    [ "$(setting GPU off)" = on ] || return 0
    if ! command -v nvidia-smi >/dev/null || ! nvidia-smi >/dev/null 2>&1; then
        fail "gpu: GPU=on, and nvidia-smi does not answer; install the driver"
    elif ! docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q nvidia; then
        fail "gpu: Docker has no runtime nvidia; install the NVIDIA Container Toolkit"
    else
        pass "gpu: $(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)"
    fi
}

check_docker
check_host
check_secrets
check_settings
check_ports
check_folders
check_model
check_project
check_tls
check_gpu
if [ "$failures" -gt 0 ]; then
    printf '%s\n' "preflight: $failures failed"
    exit 1
fi
printf 'preflight: all passed\n'
