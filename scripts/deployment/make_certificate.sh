#!/usr/bin/env bash
# A self-signed certificate for trials: config/tls/fullchain.pem and privkey.pem, good for a year.
#   make_certificate.sh NAME...     names or addresses of this host, as people type them
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -gt 0 ] || die "give at least one name or address of this host: make_certificate.sh plant-7.local 10.0.0.7"
folder=$ROOT/config/tls
[ ! -e "$folder/privkey.pem" ] || die "$folder/privkey.pem is there already; it is left as it is"
names=
for name in "$@"; do
    case $name in
        *[!A-Za-z0-9.:-]*) die "$name is no name or address" ;;
        *:*) names+=${names:+,}IP:$name ;;
        *[!0-9.]*) names+=${names:+,}DNS:$name ;;
        *) names+=${names:+,}IP:$name ;;
    esac
done
mkdir -p "$folder"
umask 077
said=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$1" \
    -addext "subjectAltName=$names" -keyout "$folder/.privkey.pem.tmp" -out "$folder/.fullchain.pem.tmp" 2>&1) ||
    die "openssl made no certificate: $said"
mv "$folder/.privkey.pem.tmp" "$folder/privkey.pem"
mv "$folder/.fullchain.pem.tmp" "$folder/fullchain.pem"
chmod 644 "$folder/fullchain.pem"
for path in "$ROOT/config" "$folder" "$folder/privkey.pem" "$folder/fullchain.pem"; do own "$path"; done
printf 'wrote %s for %s; set TLS=on in %s\n' "$folder" "$*" "$(basename "$ENV_FILE")"
