#!/bin/sh
# Writes nginx's configuration from the environment into /tmp, the one place that can be written, and becomes nginx.
set -eu

: "${TLS:=off}" "${RATE_LIMIT:=50}" "${RATE_BURST:=100}" "${SIGN_IN_LIMIT:=20}" "${MAX_BODY_MB:=32}"
# nginx asks for these names itself, and knows no search domains: on Kubernetes they are written out.
: "${API_ADDRESS:=api:8000}" "${MLFLOW_ADDRESS:=mlflow:5000}"
# Networks of proxies in front, with commas between: they say who asks, and whether by https.
: "${TRUSTED_PROXIES:=}"

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

for name in API_ADDRESS MLFLOW_ADDRESS; do
    eval "value=\$$name"
    port=${value##*:}
    case "${value%:*} $port" in
        "$value $value" | ' '* | *' ' | *[!A-Za-z0-9.\ -]* | *' '*[!0-9]*)
            echo "frontend: $name is '$value'; name:port is allowed" >&2; exit 2 ;;
    esac
done
case $TRUSTED_PROXIES in
    *[!0-9A-Fa-f.:/,]*) echo "frontend: TRUSTED_PROXIES is '$TRUSTED_PROXIES'; 10.0.0.0/8,… is allowed" >&2; exit 2 ;;
esac
resolver=$(sed -n 's/^nameserver[[:space:]]*//p' /etc/resolv.conf | head -n 1)
case $resolver in *:*) resolver="[$resolver]" ;; esac

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
networks=$(printf '%s' "$TRUSTED_PROXIES" | tr ',' ' ')
{
    [ -z "$networks" ] || { echo 'real_ip_header X-Forwarded-For;'; echo 'real_ip_recursive on;'; hsts='max-age=31536000'; }
    for network in $networks; do echo "set_real_ip_from $network;"; done
    # shellcheck disable=SC2016  # nginx's own variables
    echo 'geo $realip_remote_addr $from_trusted {'
    echo '    default 0;'
    for network in $networks; do echo "    $network 1;"; done
    echo '}'
} >/tmp/nginx/trusted.conf
sed -e "s/@RATE_LIMIT@/$RATE_LIMIT/; s/@RATE_BURST@/$RATE_BURST/; s/@SIGN_IN_LIMIT@/$SIGN_IN_LIMIT/; \
s/@MAX_BODY_MB@/$((MAX_BODY_MB + 4))/; s/@HSTS@/$hsts/; s/@RESOLVER@/$resolver/; s/@API_ADDRESS@/$API_ADDRESS/" \
    /etc/pindet/nginx/nginx.conf >/tmp/nginx/nginx.conf
sed -e "s/@RATE_BURST@/$RATE_BURST/; s/@API_ADDRESS@/$API_ADDRESS/; s/@MLFLOW_ADDRESS@/$MLFLOW_ADDRESS/" \
    /etc/pindet/nginx/locations.conf >/tmp/nginx/locations.conf
exec nginx -e stderr -c /tmp/nginx/nginx.conf -g 'daemon off;'
