#!/bin/sh
# Builds the image and installs everything that a pipeline needs into the cluster: backends, KEDA, operator. Safe to run
# again: it brings what is there up to date.
. "$(dirname "$0")/environment.sh"

say "Building $image"
kind/image.sh >/dev/null
say "Loading it into the nodes"
for name in "$image" redis:7-bookworm; do load_into_workers "$name"; done
# A tag that is built again does not change a Deployment: the image's own digest in the pods' annotations does.
digest=$(docker image inspect --format '{{.Id}}' "$image" | cut -d : -f 2 | cut -c 1-16)

say "Installing the backends into namespace $namespace"
kubectl create namespace "$namespace" --dry-run=client --output yaml | kubectl apply --server-side --filename - >/dev/null
kubectl label --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
helm upgrade --install cloudscale-backends charts/cloudscale-backends --namespace "$namespace" \
	--set-string "image.repository=${image%:*},image.tag=${image##*:},podAnnotations.cloudscale\.io/image=$digest" \
	--set "pinTo=${CLOUDSCALE_PIN_BACKENDS_TO:-}" >/dev/null
kind/keda.sh
say "Installing the operator into namespace $operator_namespace"
helm upgrade --install cloudscale charts/cloudscale --namespace "$operator_namespace" --create-namespace \
	--set-string "image.repository=${image%:*},image.tag=${image##*:},podAnnotations.cloudscale\.io/image=$digest" >/dev/null

say "Waiting for the backends and the operator"
for name in redis servicebus cosmos; do
	kubectl --namespace "$namespace" rollout status "statefulset/$name" --timeout 360s >/dev/null
done
kubectl --namespace "$operator_namespace" rollout status deployment/cloudscale-operator --timeout 360s >/dev/null
