#!/bin/sh
# Installs a Prometheus that scrapes the operator and the pipelines that there are, and evaluates the alert rules of
# docs/alerts. Run it again when there is another pipeline.
. "$(dirname "$0")/environment.sh"

monitoring=cloudscale-monitoring
# A Service without an address of its own has a DNS record for each pod.
pods_of() {
	cat <<YAML
apiVersion: v1
kind: Service
metadata: {name: $2-pods, namespace: $1}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {cloudscale.io/pipeline: $2}
  ports: [{name: http, port: 8080, targetPort: http}, {name: metrics, port: 9090, targetPort: metrics}]
YAML
}

say "Installing Prometheus into namespace $monitoring"
load_into_workers prom/prometheus:v2.42.0
kubectl create namespace "$monitoring" --dry-run=client --output yaml | kubectl apply --server-side --filename - >/dev/null
names=
for pipeline in $(kubectl get eventpipelines --all-namespaces --output \
	'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}'); do
	pods_of "${pipeline%/*}" "${pipeline#*/}" | kubectl apply --server-side --filename - >/dev/null
	for port in http metrics; do names="$names, _$port._tcp.${pipeline#*/}-pods.${pipeline%/*}.svc.cluster.local"; done
done
# Whoever looks at a new cluster wants to see the budgets soon, and there are not many series yet.
kubectl --namespace "$monitoring" create configmap prometheus --dry-run=client --output yaml \
	--from-literal configuration.yaml="$(sed "s|PODS|${names#, }|" kind/prometheus/configuration.yaml)" \
	--from-literal rules.yaml="$(sed 's|interval: 5m|interval: 30s|' docs/alerts/rules.yaml)" |
	kubectl apply --server-side --filename - >/dev/null
kubectl apply --server-side --filename kind/prometheus/deployment.yaml >/dev/null
# It reads both when it starts.
kubectl --namespace "$monitoring" rollout restart deployment/prometheus >/dev/null
kubectl --namespace "$monitoring" rollout status deployment/prometheus --timeout 120s >/dev/null
