#!/bin/sh
# Runs `cloudscale` with these arguments and a key of the sample pipeline, which holds for an hour: for the tenant
# CLOUDSCALE_TENANT, by default that of the examples.
. "$(dirname "$0")/environment.sh"

tenant=${CLOUDSCALE_TENANT:-cdnow}
in_worker() { kubectl --namespace "$namespace" exec deployment/sample-worker -- cloudscale "$@"; }

in_worker tenants list --json | grep -q "\"id\":\"$tenant\"" || in_worker tenants create "$tenant" >&2
CLOUDSCALE_KEY=$(in_worker keys create --tenant "$tenant" --name with-key.sh --expires 1h)
export CLOUDSCALE_KEY
exec .venv/bin/cloudscale "$@"
