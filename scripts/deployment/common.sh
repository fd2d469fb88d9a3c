# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those that read this file
# What the scripts of deployment/ and operations/ share: where things are, settings, compose, and how results are told.

ROOT=${PINDET_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
ENV_FILE=${PINDET_ENV_FILE:-$ROOT/.env.prod}
SERVER_FILE=$ROOT/docker-compose.prod.yml
MLOPS_FILE=$ROOT/docker-compose.prod.mlops.yml
FOLDERS=(config config/tls logs logs/metrics output data models mlruns dvc_cache)
WRITABLE=(config config/tls logs logs/metrics output mlruns dvc_cache)
SECRETS=(POSTGRES_PASSWORD MLFLOW_DB_PASSWORD REDIS_PASSWORD JWT_SECRET ADMIN_PASSWORD MLFLOW_ADMIN_PASSWORD SECRET_KEY GRAFANA_PASSWORD)
SERVICES=(database redis api frontend mlflow dvc)
DATED='pindet-[0-9]{8}T[0-9]{6}Z'   # what a backup's folder is called, as a regular expression
# What images are labelled with: that of the files they are built of.
export PINDET_REVISION=${PINDET_REVISION:-$(git -c safe.directory='*' -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)}
failures=0

pass() { printf 'pass  %s\n' "$*"; }
warn() { printf 'warn  %s\n' "$*"; }
fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# setting NAME [DEFAULT]: a value of the settings file, which is read, not run.
setting() {
    local value=
    [ -r "$ENV_FILE" ] && value=$(sed -n "s/^$1=//p" "$ENV_FILE" | tail -n 1)
    printf '%s' "${value:-${2:-}}"
}

case ",$(setting COMPOSE_PROFILES)," in *,monitoring,*) SERVICES+=(prometheus grafana) ;; esac

# project_git ARGUMENT...: git in the project's repository. It may belong to the containers' user, and git as another
# user, such as root, refuses what is not its own unless told that it is meant.
project_git() {
    git -c safe.directory='*' --git-dir "$(git_folder)" "$@"
}

git_folder() {
    local folder
    folder=$(setting PROJECT_GIT_DIR .git)
    [[ $folder = /* ]] || folder=$ROOT/$folder
    printf '%s' "$folder"
}

# backups_in FOLDER: its backups, the oldest first; whatever else lies there is no business of ours.
backups_in() {
    [ -d "$1" ] || return 0
    find "$1" -maxdepth 1 -type d -regextype posix-extended -regex ".*/$DATED" | sort
}

server_files() {
    printf -- '-f\n%s\n' "$SERVER_FILE"
    [ "$(setting GPU off)" != on ] || printf -- '-f\n%s\n' "$ROOT/docker/compose.gpu.yml"
}

compose() {
    local files
    mapfile -t files < <(server_files)
    docker compose --project-directory "$ROOT" --env-file "$ENV_FILE" "${files[@]}" -f "$MLOPS_FILE" "$@"
}

compose_server() {
    local files
    mapfile -t files < <(server_files)
    docker compose --project-directory "$ROOT" --env-file "$ENV_FILE" "${files[@]}" "$@"
}

compose_mlops() {
    docker compose --project-directory "$ROOT" --env-file "$ENV_FILE" -f "$MLOPS_FILE" "$@"
}

# weakness VALUE: why it is no secret to start with; nothing, if it is one.
weakness() {
    case ${1,,} in
        '') printf 'is empty' ;;
        *change* | *example* | *placeholder* | *password* | *secret* | *xxxx*) printf 'is a placeholder' ;;
        *[!a-z0-9_-]*) printf 'may have letters, digits, - and _ only, as it becomes part of URLs' ;;
        *)
            if [ "${#1}" -lt 32 ] || [ "$(fold -w1 <<<"$1" | sort -u | wc -l)" -lt 8 ]; then
                printf 'has %s characters or too few different ones; 32 are needed: openssl rand -hex 24' "${#1}"
            fi
            ;;
    esac
}

# random_secret: 48 hexadecimal digits, 192 bits; fit for a URL, a shell and a file alike.
random_secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# own FOLDER: give a folder to the user that the containers run as; only root can, and only root needs to.
own() {
    [ "$(id -u)" -ne 0 ] || chown "$(setting PINDET_UID 10001):$(setting PINDET_GID 10001)" "$1"
}

# disks: the folders whose disks the stack fills: this one's, and where Docker keeps volumes, images and logs.
disks() {
    printf '%s\n' "$ROOT"
    docker info --format '{{.DockerRootDir}}' 2>/dev/null | grep '^/' || true
}

# is_running SERVICE
is_running() {
    [ -n "$(compose ps --quiet --status running "$1" 2>/dev/null)" ]
}
