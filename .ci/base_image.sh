#!/usr/bin/env bash
# A Python 3.11 base image from Debian packages, for an engine that reaches no registry. Does nothing if it is there.
# BASE_IMAGE_TAG names it; BASE_IMAGE_CACHE keeps its tar, which the next machine only imports.
set -euo pipefail
tag=${BASE_IMAGE_TAG:-local/python:3.11-bookworm}
cache=${BASE_IMAGE_CACHE:-build/base_image}
tar=$cache/python-3.11-bookworm.tar

docker image inspect "$tag" >/dev/null 2>&1 && exit 0
mkdir -p "$cache"
if [ ! -f "$tar" ]; then
  # libstdc++6 and libgomp1 are what the wheels need; SOURCE_DATE_EPOCH makes the same packages the same bytes.
  SOURCE_DATE_EPOCH=1700000000 mmdebstrap --quiet --format=tar --variant=essential \
    --include=usr-is-merged,python3,python3-venv,ca-certificates,libstdc++6,libgomp1,netbase,tzdata \
    --aptopt='APT::Install-Recommends "false"' --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$tar.part" >"$cache/mmdebstrap.log" 2>&1 || { tail -20 "$cache/mmdebstrap.log" >&2; exit 1; }
  mv "$tar.part" "$tar"
fi
docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' "$tar" "$tag" >/dev/null
