#!/bin/sh
# The whole of CloudScale on one machine's kind cluster: cluster, image, backends, KEDA, operator and a sample pipeline.
# Safe to run again.
. "$(dirname "$0")/environment.sh"

kind/create.sh
kind/install.sh

say "Applying the sample pipeline"
kubectl --namespace "$namespace" apply --filename kind/sample.yaml >/dev/null
kubectl --namespace "$namespace" wait eventpipeline/sample --for condition=Ready --timeout 180s >/dev/null
kubectl --namespace "$namespace" get eventpipelines

cat <<TEXT

  Events     http://127.0.0.1:8080/api/events    (API: http://127.0.0.1:8080/docs)
  Dashboard  http://127.0.0.1:8081

  curl -i http://127.0.0.1:8080/api/events -H 'content-type: application/json' \\
    -d '{"eventType":"page_view","tenantId":"shop","userId":"ann","url":"https://shop.example/"}'

  kubectl --context kind-$cluster --namespace $namespace get evp
  make cluster-down removes it all.
TEXT
