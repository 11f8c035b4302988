#!/bin/sh
# Builds the image for all architectures and pushes it, with an SBOM and a provenance for each:
#   release/image.sh REPOSITORY VERSION DIGEST_FILE
# The digest of what was pushed is written into the file. Needs docker buildx with a builder for these architectures.
set -eu
cd "$(dirname "$0")/.."
repository=${1:?repository of the image, such as ghcr.io/cloudscale/cloudscale}
version=${2:?version, such as 1.2.3}
digest_file=${3:?file to write the digest into}

metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
docker buildx build --platform linux/amd64,linux/arm64 --target runtime --push \
	--sbom=true --provenance=mode=max --metadata-file "$metadata" \
	--label "org.opencontainers.image.version=$version" \
	--label "org.opencontainers.image.source=https://github.com/cloudscale/cloudscale" \
	--label "org.opencontainers.image.licenses=MIT" \
	--tag "$repository:$version" --tag "$repository:latest" .
digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$metadata")
if [ -z "$digest" ]; then
	echo "docker buildx names no digest of what it pushed to $repository" >&2
	exit 1
fi
echo "$digest" >"$digest_file"
