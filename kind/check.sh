#!/bin/sh
# Whether `make cluster` and `make e2e` can work here: the tools do, and KEDA can be had. What is missing goes to stderr.
. "$(dirname "$0")/environment.sh"

kind/tools.sh
docker info >/dev/null
kind version >/dev/null
command helm version >/dev/null
command kubectl version --client >/dev/null
if [ -z "$setup" ] && ! timeout 60 helm show chart keda --repo "$keda_charts" --version "$keda_version" >/dev/null; then
	echo "KEDA's chart $keda_version cannot be had from $keda_charts: is there a network?" >&2
	exit 1
fi
