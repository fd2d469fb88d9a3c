#!/usr/bin/env bash
# Whether what is written in docker/kubernetes can be applied: one line a check, pass or FAIL; exits with 1 if any failed.
#   kubernetes_preflight.sh cpu|gpu|FOLDER [SECRET.yaml]     FOLDER: a kustomization of your own
# Asks no cluster and changes nothing.
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Made here, so held to the rules for made ones; the others are what PostgreSQL, Redis, S3 and MLflow were given.
OWN=(JWT_SECRET PINDET_ADMIN_PASSWORD)
GIVEN=(
    pindet-api/DATABASE_URL pindet-api/REDIS_PASSWORD pindet-api/AWS_ACCESS_KEY_ID pindet-api/AWS_SECRET_ACCESS_KEY
    pindet-agent/REDIS_PASSWORD pindet-agent/MLFLOW_TRACKING_USERNAME pindet-agent/MLFLOW_TRACKING_PASSWORD
    pindet-agent/AWS_ACCESS_KEY_ID pindet-agent/AWS_SECRET_ACCESS_KEY pindet-git/ssh-privatekey pindet-git/known_hosts
)

check_manifests() {
    command -v kubectl >/dev/null || { fail "kubectl: not installed"; return; }
    rendered=$(kubectl kustomize "$folder" 2>&1) || { fail "manifests: $rendered"; rendered=; return; }
    local left
    left=$(grep -nE 'CHANGE_ME|192\.0\.2\.|[.]example$' <<<"$rendered" | sed 's/^[0-9]*: *//' | sort -u) || true
    if [ -n "$left" ]; then
        while read -r line; do fail "manifests: a placeholder is left: $line"; done <<<"$left"
    else
        pass "manifests: $(grep -c '^kind:' <<<"$rendered") objects, no placeholder"
    fi
}

# value NAME: what a ConfigMap of the manifests says.
value() { sed -n "s/^  $1: //p" <<<"$rendered" | head -n 1 | tr -d "\"'"; }

check_source() {
    local remote source
    remote=$(value DVC_REMOTE_URL)
    source=$(value PINDET_SOURCE)
    if [[ $source = "${remote%/}"/releases/detector/*.json ]]; then pass "source: $source"; else
        fail "source: PINDET_SOURCE is $source; it must be a release file below DVC_REMOTE_URL, $remote"
    fi
}

# secret NAME/KEY: a value of the file of Secrets, which is read line by line: stringData, indented by two.
secret() {
    awk -v name="${1%/*}" -v key="${1#*/}" '
        /^---/ {here = 0; inside = 0}
        /^metadata:/ {here = $0 ~ "name: *" name "[,} ]" || $0 ~ "name: *" name "$"}
        inside && /^    / {sub(/^ */, ""); print; next}
        {inside = 0}
        here && index($0, "  " key ":") == 1 {
            sub("^  " key ": *", ""); gsub(/^["'\'']|["'\'']$/, "")
            if ($0 == "|") inside = 1; else print
        }' "$secrets"
}

check_secrets() {
    [ -r "$secrets" ] || { fail "secrets: $secrets can not be read; copy docker/kubernetes/secret.example.yaml"; return; }
    local name text weak before=$failures
    [ "$(stat -c %a "$secrets" | tail -c 3)" = 00 ] || fail "secrets: others can read $secrets; chmod 600 $secrets"
    for name in "${OWN[@]}"; do
        weak=$(weakness "$(secret "pindet-api/$name")")
        [ -z "$weak" ] || fail "secrets: pindet-api/$name $weak"
    done
    for name in "${GIVEN[@]}"; do
        text=$(secret "$name")
        case ${text,,} in
            '') fail "secrets: $name is empty" ;;
            *change_me* | *placeholder* | *xxxx*) fail "secrets: $name is a placeholder" ;;
        esac
    done
    [ "$(secret pindet-api/REDIS_PASSWORD)" = "$(secret pindet-agent/REDIS_PASSWORD)" ] ||
        fail "secrets: REDIS_PASSWORD of pindet-api and of pindet-agent differ; it is one Redis"
    check_release_secret
    [ "$failures" -ne "$before" ] || pass "secrets: $((${#OWN[@]} + ${#GIVEN[@]})) in $(basename "$secrets")"
}

# By it the agent knows that a wish for a release is the api's.
check_release_secret() {
    local api weak
    api=$(secret pindet-api/RELEASE_SECRET)
    [ "$(value RELEASES_FROM_PAGE)" = on ] || [ -n "$api" ] || return 0
    weak=$(weakness "$api")
    [ -z "$weak" ] || fail "secrets: pindet-api/RELEASE_SECRET $weak"
    [ "$api" = "$(secret pindet-agent/RELEASE_SECRET)" ] ||
        fail "secrets: RELEASE_SECRET of pindet-api and of pindet-agent differ; they have to be the same"
}

case ${1:-} in
    '' | -*) die "usage: kubernetes_preflight.sh cpu|gpu|FOLDER [SECRET.yaml]" ;;
    cpu | gpu) folder=$ROOT/docker/kubernetes/overlays/$1 ;;
    *) folder=$1 ;;
esac
secrets=${2:-}
rendered=
check_manifests
[ -z "$rendered" ] || check_source
[ -z "$secrets" ] || check_secrets
if [ "$failures" -gt 0 ]; then
    printf '%s\n' "preflight: $failures failed"
    exit 1
fi
printf 'preflight: all passed\n'
