#!/usr/bin/env bash
# Carries the stack's images to a host without a registry and without a package index.
#   images.sh save FILE.tar.gz      every image of the stack, with a checksum beside it (FILE.tar.gz.sha256)
#   images.sh load FILE.tar.gz      checks the checksum, and loads them
set -Eeuo pipefail
# shellcheck source=scripts/deployment/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 2 ] || die "usage: images.sh save|load FILE.tar.gz"
file=$(realpath -m "$2")
case $1 in
    save)
        mapfile -t images < <(compose config --images | sort -u)
        # Those of the profiles too, where they are here.
        while read -r image; do
            if docker image inspect "$image" >/dev/null 2>&1; then images+=("$image"); fi
        done < <(compose --profile training --profile monitoring config --images | sort -u | grep -vxF "$(printf '%s\n' "${images[@]}")")
        for image in "${images[@]}"; do
            docker image inspect "$image" >/dev/null 2>&1 || die "$image is not here; build or pull it first"
        done
        docker save "${images[@]}" | gzip -1 >"$file.tmp"
        mv "$file.tmp" "$file"
        (cd "$(dirname "$file")" && sha256sum "$(basename "$file")" >"$(basename "$file").sha256")
        printf 'saved %s: %s\n' "$file" "${images[*]}"
        ;;
    load)
        (cd "$(dirname "$file")" && sha256sum --check --quiet "$(basename "$file").sha256") ||
            die "$file is not what was saved; copy it again"
        gzip -dc "$file" | docker load
        ;;
    *) die "usage: images.sh save|load FILE.tar.gz" ;;
esac
