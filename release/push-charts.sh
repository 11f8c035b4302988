#!/bin/sh
# Pushes packed charts to a registry and signs what was pushed: release/push-charts.sh REGISTRY FOLDER
# Needs helm and cosign, and to be signed in to the registry.
set -eu
registry=${1:?registry and path, such as ghcr.io/cloudscale/charts}
folder=${2:?folder of the packages}

for package in "$folder"/*.tgz; do
	# helm says where it pushed to, and the digest, as `Pushed: REGISTRY/NAME:VERSION` and `Digest: sha256:…`.
	said=$(helm push "$package" "oci://$registry" 2>&1) || { echo "$said" >&2; exit 1; }
	name=$(printf '%s\n' "$said" | sed -n 's/^Pushed: *\(.*\):[^:]*$/\1/p')
	digest=$(printf '%s\n' "$said" | sed -n 's/^Digest: *\(sha256:[0-9a-f]*\)$/\1/p')
	if [ -z "$name" ] || [ -z "$digest" ]; then
		echo "helm does not say what it made of $package: $said" >&2
		exit 1
	fi
	cosign sign --yes "$name@$digest"
done
