#!/bin/sh
# Makes sure that docker, kind, helm and kubectl are there, with the set-up script if there is one.
. "$(dirname "$0")/environment.sh"

[ -z "$setup" ] || "$setup"
for name in docker kind helm kubectl; do
	if ! command -v "$name" >/dev/null; then
		echo "$name is not installed: docs/kubernetes.md says where it comes from" >&2
		exit 1
	fi
done
