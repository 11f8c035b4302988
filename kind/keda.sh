#!/bin/sh
# Installs KEDA, unless it runs, and makes it trust the authority that signed the backends' certificates: its
# azure-servicebus scaler reads the queue over HTTPS.
. "$(dirname "$0")/environment.sh"

# An installation that failed leaves its namespace, and perhaps some Deployments, behind: only one that works is left alone.
if ! kubectl --namespace keda wait deployment --all --for condition=Available --timeout 30s >/dev/null 2>&1; then
	say "Installing KEDA"
	if [ -n "$setup" ]; then
		command kubectl config use-context "$context" >/dev/null
		"$setup" keda
	else
		helm upgrade --install keda keda --repo "$keda_charts" --version "$keda_version" \
			--namespace keda --create-namespace --wait --timeout 5m
	fi
fi

# Each installation of the backends has an authority of its own.
authorities=$(kubectl get secrets --all-namespaces --field-selector metadata.name=cloudscale-backends-ca --output \
	'jsonpath={range .items[?(@.metadata.namespace!="keda")]}{.metadata.namespace}.crt: {.data.ca\.crt}{"\n"}{end}')
kubectl apply --server-side --filename - >/dev/null <<YAML
apiVersion: v1
kind: Secret
metadata: {name: cloudscale-backends-ca, namespace: keda}
data:
$(echo "$authorities" | sed 's/^/  /')
YAML
# KEDA reads its folder of authorities when it starts, so another authority must start it again.
kubectl --namespace keda patch deployment keda-operator --type strategic --patch "
spec:
  template:
    metadata:
      annotations: {cloudscale.io/authorities: '$(echo "$authorities" | sha256sum | cut -c 1-16)'}
    spec:
      containers:
        - name: keda-operator
          volumeMounts: [{name: cloudscale-authorities, mountPath: /custom/ca, readOnly: true}]
      volumes:
        - name: cloudscale-authorities
          secret: {secretName: cloudscale-backends-ca}
" >/dev/null
kubectl --namespace keda rollout status deployment/keda-operator --timeout 360s >/dev/null
