#!/bin/sh
# Builds the image (CLOUDSCALE_IMAGE, cloudscale:dev) with the package index that pip on this machine is told to use.
. "$(dirname "$0")/environment.sh"

set --
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
	if printenv "$name" >/dev/null; then set -- "$@" --build-arg "$name"; fi
done
docker build --quiet --target runtime --tag "$image" "$@" .
