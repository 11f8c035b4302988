# Sourced by the other scripts: names they agree on, and how this machine gets what a cluster needs.
# CLOUDSCALE_CLUSTER, CLOUDSCALE_NAMESPACE and CLOUDSCALE_IMAGE change the names, CLOUDSCALE_CLUSTER_CONFIG the nodes.
set -eu
cd "$(dirname "$0")/.."

cluster=${CLOUDSCALE_CLUSTER:-cloudscale-dev}
context=${CLOUDSCALE_CONTEXT:-kind-$cluster}
namespace=${CLOUDSCALE_NAMESPACE:-cloudscale-demo}
image=${CLOUDSCALE_IMAGE:-cloudscale:dev}
cluster_config=${CLOUDSCALE_CLUSTER_CONFIG:-kind/cluster.yaml}
operator_namespace=cloudscale
# The version that the tests on a cluster run with; the charts and docs name the same.
keda_charts=https://kedacore.github.io/charts
keda_version=2.20.2

# A script that provides docker, kind and KEDA where no registry can be reached; without one they come from their projects.
setup=${CLOUDSCALE_CLUSTER_SETUP:-}

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# The node image that is here already, if there is one: kind's own default needs a registry.
node_image() {
	docker image ls kindest/node --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' | head -n 1
}

kubectl() { command kubectl --context "$context" "$@"; }
helm() { command helm --kube-context "$context" "$@"; }

# Gives the nodes that run pods an image that is here; any other they pull by themselves.
load_into_workers() {
	docker image inspect "$1" >/dev/null 2>&1 || return 0
	workers=$(kind get nodes --name "$cluster" | grep --invert-match control-plane | paste -s -d ,)
	kind load docker-image --name "$cluster" ${workers:+--nodes "$workers"} "$1"
}
