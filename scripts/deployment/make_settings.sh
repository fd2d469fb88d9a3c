#!/usr/bin/env bash
# Writes .env.prod from .env.prod.example, with secrets made on the spot and limits that fit this host.
#   make_settings.sh                refuses to touch settings that are there
#   make_settings.sh --complete     adds what a newer version of the example has, and leaves the rest as it is
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [ "${1:-}" = --complete ] && [ -e "$ENV_FILE" ]; then
    # An editor may have left the last line without an end; what is added must not become a part of it.
    [ -z "$(tail -c 1 "$ENV_FILE")" ] || printf '\n' >>"$ENV_FILE"
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line%%=*}
        [[ $name =~ ^[A-Z][A-Z0-9_]*$ ]] || continue
        grep -q "^$name=" "$ENV_FILE" && continue
        case $line in *=CHANGE_ME) line="$name=$(random_secret)" ;; esac
        printf '%s\n' "$line" >>"$ENV_FILE"
        printf 'added %s to %s\n' "$name" "$ENV_FILE"
    done <"$ROOT/.env.prod.example"
    exit 0
fi
[ ! -e "$ENV_FILE" ] || die "$ENV_FILE is there already; it is left as it is"

uid=$(id -u) gid=$(id -g)
if [ "$uid" -eq 0 ]; then uid=10001 gid=10001; fi
cpus=$(getconf _NPROCESSORS_ONLN)
new=$(mktemp "$ENV_FILE.XXXXXX")
trap 'rm -f "$new"' EXIT
chmod 600 "$new"
# Docker refuses a limit above the CPUs that are there.
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        *=CHANGE_ME) line="${line%%=*}=$(random_secret)" ;;
        PINDET_UID=*) line="PINDET_UID=$uid" ;;
        PINDET_GID=*) line="PINDET_GID=$gid" ;;
        API_CPUS=* | DATABASE_CPUS=*) line="${line%%=*}=$((cpus < 4 ? cpus : 4))" ;;
        MLFLOW_CPUS=*) line="MLFLOW_CPUS=$((cpus < 2 ? 1 : 2))" ;;
    esac
    printf '%s\n' "$line"
done <"$ROOT/.env.prod.example" >"$new"
mv "$new" "$ENV_FILE"
trap - EXIT
printf 'wrote %s (mode 600): keep a copy where only administrators can read it\n' "$ENV_FILE"
