#!/bin/sh
# Writes nginx's configuration from the environment into /tmp, the one place that can be written, and becomes nginx.
set -eu

: "${TLS:=off}" "${RATE_LIMIT:=50}" "${RATE_BURST:=100}" "${SIGN_IN_LIMIT:=20}" "${MAX_BODY_MB:=36}"

if [ "${1:-}" = healthy ]; then
    # nginx answers this itself, so that a restarting api does not make the proxy look ill.
    exec curl --silent --fail --max-time 4 --output /dev/null http://127.0.0.1:8000/proxy-health
fi

for name in RATE_LIMIT RATE_BURST SIGN_IN_LIMIT MAX_BODY_MB; do
    eval "value=\$$name"
    # shellcheck disable=SC2154  # eval sets it
    case $value in
        '' | *[!0-9]* | 0) echo "frontend: $name is '$value'; a number from 1 is allowed" >&2; exit 2 ;;
    esac
done

mkdir -p /tmp/nginx
case $TLS in
    on)
        for file in fullchain.pem privkey.pem; do
            [ -r "/etc/pindet/tls/$file" ] || { echo "frontend: TLS is on and config/tls/$file can not be read" >&2; exit 2; }
        done
        cat >/tmp/nginx/listen.conf <<'CONF'
listen 8080 ssl http2;
ssl_certificate /etc/pindet/tls/fullchain.pem;
ssl_certificate_key /etc/pindet/tls/privkey.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_ciphers HIGH:!aNULL:!MD5:!SHA1;
ssl_session_cache shared:tls:10m;
ssl_session_timeout 1h;
ssl_session_tickets off;
# Who types the address without https is sent to it.
error_page 497 =308 https://$http_host$request_uri;
CONF
        hsts='max-age=31536000'
        ;;
    off) echo 'listen 8080;' >/tmp/nginx/listen.conf; hsts='' ;;
    *) echo "frontend: TLS is '$TLS'; on and off are allowed" >&2; exit 2 ;;
esac
sed -e "s/@RATE_LIMIT@/$RATE_LIMIT/; s/@RATE_BURST@/$RATE_BURST/; s/@SIGN_IN_LIMIT@/$SIGN_IN_LIMIT/; \
s/@MAX_BODY_MB@/$MAX_BODY_MB/; s/@HSTS@/$hsts/" /etc/pindet/nginx/nginx.conf >/tmp/nginx/nginx.conf
sed -e "s/@RATE_BURST@/$RATE_BURST/" /etc/pindet/nginx/locations.conf >/tmp/nginx/locations.conf
exec nginx -e stderr -c /tmp/nginx/nginx.conf -g 'daemon off;'
