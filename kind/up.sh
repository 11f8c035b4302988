#!/bin/sh
# The whole of CloudScale on one machine's kind cluster: cluster, image, backends, KEDA, operator and a sample pipeline.
# Safe to run again.
. "$(dirname "$0")/environment.sh"

kind/create.sh
kind/install.sh

say "Applying the sample pipeline"
kubectl --namespace "$namespace" apply --filename kind/sample.yaml >/dev/null
kubectl --namespace "$namespace" wait eventpipeline/sample --for condition=Ready --timeout 360s >/dev/null
kubectl --namespace "$namespace" get eventpipelines

# Where the node ports of the sample are reached on this machine: another CLOUDSCALE_CLUSTER_CONFIG may map them elsewhere.
mapped() {
	address=$(docker port "$cluster-control-plane" "$1/tcp" 2>/dev/null | head -n 1)
	if [ -z "$address" ]; then
		address="(node port $1 is mapped to no port of this machine)"
	fi
	echo "$address"
}
events=$(mapped 30080)
dashboard=$(mapped 30081)

cat <<TEXT

  Events     http://$events/api/events    (API: http://$events/docs)
  Dashboard  http://$dashboard

  A tenant, a key for it, and an event (the dashboard asks for the token that the last line prints):

  kubectl config use-context $context
  kubectl --namespace $namespace exec deployment/sample-worker -- cloudscale tenants create shop
  key=\$(kubectl --namespace $namespace exec deployment/sample-worker -- cloudscale keys create --tenant shop --name web)
  curl -i http://$events/api/events -H "Authorization: Bearer \$key" -H 'content-type: application/json' \\
    -d '{"eventType":"page_view","userId":"ann","url":"https://shop.example/"}'
  kubectl --namespace $namespace get secret sample-dashboard -o jsonpath='{.data.token}' | base64 -d; echo

  kubectl --namespace $namespace get evp
  make cluster-down removes it all.
TEXT
