#!/bin/sh
# Makes sure that the tools and the development cluster are there; the cluster is empty when it is new.
. "$(dirname "$0")/environment.sh"

kind/tools.sh
if ! kind get clusters 2>/dev/null | grep -qx "$cluster"; then
	say "Creating cluster $cluster"
	node=${CLOUDSCALE_NODE_IMAGE:-$(node_image)}
	kind create cluster --name "$cluster" --config "$cluster_config" ${node:+--image "$node"} --wait 360s
fi
