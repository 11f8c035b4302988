#!/bin/sh
# A cluster of one node for measurements, with the backends and the pipeline of kind/bench.yaml, both pinned to the label
# cloudscale.io/bench. Safe to run again.
export CLOUDSCALE_CLUSTER_CONFIG=kind/bench-cluster.yaml
. "$(dirname "$0")/environment.sh"

export CLOUDSCALE_PIN_BACKENDS_TO=cloudscale.io/bench
kind/create.sh
kind/install.sh
say "Applying the pipeline"
kubectl --namespace "$namespace" apply --filename kind/bench.yaml >/dev/null
kubectl --namespace "$namespace" wait eventpipeline/bench --for condition=Ready --timeout 360s >/dev/null
