#!/usr/bin/env bash
# Whether this host can run the stack: one line a check, pass or FAIL; exits with 1 if any failed. Changes nothing.
#   preflight.sh            everything
#   preflight.sh --model    only whether there is something to serve, as the start asks once the images are there
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

MIN_DISK_GB=${MIN_DISK_GB:-10}
MIN_MEMORY_GB=${MIN_MEMORY_GB:-7}

check_docker() {
    command -v docker >/dev/null || { fail "docker: not installed"; return; }
    docker info >/dev/null 2>&1 || { fail "docker: the engine does not answer; is it started, may $(id -un) use it?"; return; }
    local version
    version=$(docker version --format '{{.Server.Version}}')
    # Health checks that are made every second while a service starts came with 25.
    case $version in
        [0-9].* | 1[0-9].* | 2[0-4].*) fail "docker: engine $version; 25 or newer is needed" ;;
        *) pass "docker: engine $version" ;;
    esac
    version=$(docker compose version --short 2>/dev/null | sed 's/^v//') || version=
    case $version in
        '') fail "compose: docker compose is not installed" ;;
        0.* | 1.* | 2.[0-9].* | 2.1[0-9].* | 2.20.[01]*) fail "compose: $version; 2.20.2 or newer is needed" ;;
        *) pass "compose: $version" ;;
    esac
}

check_host() {
    local folder free memory
    while read -r folder; do
        free=$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 {print int($4 / 1048576)}')
        if [ "${free:=0}" -lt "$MIN_DISK_GB" ]; then
            fail "disk: $free GB free at $folder; $MIN_DISK_GB GB are needed (MIN_DISK_GB)"
        else
            pass "disk: $free GB free at $folder"
        fi
    done < <(disks)
    memory=$(awk '/^MemTotal/ {print int($2 / 1048576 + 0.5)}' /proc/meminfo)
    if [ "$memory" -lt "$MIN_MEMORY_GB" ]; then
        fail "memory: $memory GB; $MIN_MEMORY_GB GB are needed (MIN_MEMORY_GB)"
    else
        pass "memory: $memory GB"
    fi
    local name cpus
    cpus=$(getconf _NPROCESSORS_ONLN)
    for name in API_CPUS DATABASE_CPUS MLFLOW_CPUS REDIS_CPUS FRONTEND_CPUS DVC_CPUS TRAINING_CPUS; do
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
    local quoted
    # Compose takes quotes and comments off, these scripts do not: both would read something else.
    quoted=$(grep -Eo "^[A-Z][A-Z0-9_]*=(['\"].*|.*[[:space:]]#.*)" "$ENV_FILE" 2>/dev/null | cut -d= -f1 | tr '\n' ' ') || quoted=
    [ -z "$quoted" ] || fail "settings: ${quoted% }: write values without quotes, and comments on lines of their own"
    docker compose version >/dev/null 2>&1 && [ -r "$ENV_FILE" ] || return 0
    local said
    if said=$(compose config --quiet 2>&1); then pass "settings: the compose files are complete"; else
        fail "settings: $said"
    fi
}

# listens ADDRESS PORT: whether something listens so that this address and port can not be had.
listens() {
    local address=$1 wanted=any parts
    if [[ $address =~ ^[0-9]+(\.[0-9]+){3}$ ]] && [ "$address" != 0.0.0.0 ]; then
        IFS=. read -ra parts <<<"$address"
        wanted=$(printf '%02X%02X%02X%02X' "${parts[3]}" "${parts[2]}" "${parts[1]}" "${parts[0]}")
    fi
    # As the kernel lists sockets: address:port in hexadecimal digits, 0A for one that listens, and IPv4 within IPv6.
    { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || true; } | awk -v port="$(printf '%04X' "$2")" -v wanted="$wanted" '
        $4 != "0A" {next}
        {split($2, at, ":"); sub(/^0000000000000000FFFF0000/, "", at[1])}
        at[2] == port && (at[1] ~ /^0+$/ || at[1] == wanted || (wanted == "any" && length(at[1]) == 8)) {found = 1}
        END {exit !found}' && return
    [ "$wanted" != any ] || address=127.0.0.1
    (exec 3<>"/dev/tcp/$address/$2") 2>/dev/null
}

check_ports() {
    local name port service inside bind address other seen=()
    while read -r name port service inside bind; do
        port=$(setting "$name" "$port")
        address=$(setting "${bind%=*}" "${bind#*=}")
        if [[ ! $port =~ ^[0-9]{1,5}$ ]]; then
            fail "port: $name is '$port'; a number is allowed"
            continue
        fi
        for other in "${seen[@]}"; do
            case $other in
                "$port $address "* | "$port 0.0.0.0 "*) fail "port: $name is $port, as ${other##* } is; each needs its own" ;;
                "$port "*) [ "$address" != 0.0.0.0 ] || fail "port: $name is $port, as ${other##* } is; each needs its own" ;;
            esac
        done
        seen+=("$port $address $name")
        if ! listens "$address" "$port"; then
            pass "port: $name $port is free"
        elif [[ $(compose port "$service" "$inside" 2>/dev/null) = *:"$port" ]]; then
            pass "port: $name $port is $service's, which runs"
        else
            fail "port: $name $port is taken by another program; change it in $(basename "$ENV_FILE")"
        fi
    done <<<"$(ports)"
}

# Name, default, service, port in its container and bind address of each port.
ports() {
    printf '%s\n' \
        'FRONTEND_PORT 8080 frontend 8080 FRONTEND_BIND=0.0.0.0' 'API_PORT 8000 frontend 8000 BIND_ADDRESS=127.0.0.1' \
        "MLFLOW_PORT 5000 mlflow 5000 MLFLOW_BIND=$(setting BIND_ADDRESS 127.0.0.1)" 'POSTGRES_PORT 5432 database 5432 BIND_ADDRESS=127.0.0.1' \
        'REDIS_PORT 6379 redis 6379 BIND_ADDRESS=127.0.0.1'
    case ",$(setting COMPOSE_PROFILES)," in
        *,monitoring,*)
            printf '%s\n' 'PROMETHEUS_PORT 9090 prometheus 9090 BIND_ADDRESS=127.0.0.1' \
                'GRAFANA_PORT 3000 grafana 3000 BIND_ADDRESS=127.0.0.1'
            ;;
    esac
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

# is_released FILE: whether the volume of the DVC remote has a release file; 2, if that can not be seen. Any image of the
# project does to look into it, whatever its version: before a build there may be none of this one.
is_released() {
    local folder image status=0
    docker volume inspect pindet_dvc_remote >/dev/null 2>&1 || return 1
    folder=$(docker volume inspect --format '{{.Mountpoint}}' pindet_dvc_remote 2>/dev/null) || folder=
    if [ -n "$folder" ] && [ -x "$folder" ]; then
        [ -f "$folder/$1" ]
        return
    fi
    image=$(docker image ls --filter 'reference=pindet-*' --format '{{.Repository}}:{{.Tag}}' | head -n 1) || image=
    [ -n "$image" ] || return 2
    docker run --rm --network none --volume pindet_dvc_remote:/dvc/remote:ro --entrypoint test "$image" \
        -f "/dvc/remote/$1" >/dev/null 2>&1 || status=$?
    # Beyond 1 it is docker that failed, not the test.
    return $((status > 1 ? 2 : status))
}

check_model() {
    local source status=0
    source=$(setting PINDET_SOURCE /dvc/remote/releases/detector/production.json)
    if [ -f "$ROOT/models/bundle/manifest.json" ]; then
        pass "model: a bundle is in models/bundle"
    elif [[ $source != /dvc/remote/* ]]; then
        warn "model: PINDET_SOURCE is $source; whether a release is there, the api says"
    elif is_released "${source#/dvc/remote/}" || { status=$?; false; }; then
        pass "model: a release is in the DVC remote"
    elif [ "$status" -eq 2 ]; then
        warn "model: models/bundle has no bundle; whether the DVC remote has a release is seen when the images are built"
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

case ${1:-} in
    '')
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
        ;;
    --model) check_model ;;
    *) die "unknown argument $1; allowed is --model" ;;
esac
if [ "$failures" -gt 0 ]; then
    printf '%s\n' "preflight: $failures failed"
    exit 1
fi
printf 'preflight: all passed\n'
