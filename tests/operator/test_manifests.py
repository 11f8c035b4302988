"""What the manifests promise, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.operator.examples import CLIENT_ID, CONTEXTS, SPECS, build, find, pipeline

from cloudscale.ingestion.intake import BATCH_PATHS, SINGLE_PATHS
from cloudscale.settings import read_settings
from cloudscale_operator import status
from cloudscale_operator.desired import desired_objects
from cloudscale_operator.manifests.network import BACKEND_PORTS

ROLES = ("ingestion", "worker", "dashboard")
CLIENT = "azure.workload.identity/client-id"


def pod(role: str, spec: dict[str, Any] | None = None, *, context: str = "default") -> dict[str, Any]:
    template: dict[str, Any] = find(build(spec, context=context), "Deployment", role)["spec"]["template"]["spec"]
    return template


def environment(role: str, spec: dict[str, Any] | None = None, *, context: str = "default") -> dict[str, Any]:
    (container,) = pod(role, spec, context=context)["containers"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


@pytest.mark.parametrize("role", ["ingestion", "worker", "dashboard"])
def test_the_services_understand_their_environment(role: str) -> None:
    filled = {name: value if isinstance(value, str) else "secret" for name, value in environment(role).items()}
    settings = read_settings(filled)
    assert settings.pipeline_file == "/etc/cloudscale/pipeline/pipeline.json"
    assert settings.host == "0.0.0.0"  # noqa: S104 - it is what a pod needs
    assert (settings.port, settings.metrics_port) == ((9090, 9090) if role == "worker" else (8080, 8080))


def test_credentials_come_from_the_secrets_that_the_resource_names() -> None:
    variables = environment("worker", SPECS["own-secrets"])
    assert variables["CLOUDSCALE_REDIS_URL"] == {"secretKeyRef": {"name": "cache", "key": "address"}}
    assert variables["CLOUDSCALE_COSMOS_CONNECTION_STRING"] == {"secretKeyRef": {"name": "database", "key": "text"}}


@pytest.mark.parametrize("role", ["ingestion", "worker"])
def test_traces_go_to_azure_monitor_by_a_secret(role: str) -> None:
    secret = {"name": "insights", "key": "connectionString"}
    variables = environment(role, {"telemetry": {"tracing": {"applicationInsightsSecretRef": secret}}})
    assert variables["APPLICATIONINSIGHTS_CONNECTION_STRING"] == {"secretKeyRef": secret}


def test_workload_identity_needs_no_connection_string() -> None:
    objects = build(SPECS["workload-identity"])
    assert "CLOUDSCALE_COSMOS_CONNECTION_STRING" not in environment("worker", SPECS["workload-identity"])
    account = find(objects, "ServiceAccount", "pipeline")
    assert account["metadata"]["annotations"]["azure.workload.identity/client-id"] == CLIENT_ID
    labels = find(objects, "Deployment", "worker")["spec"]["template"]["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"


def test_each_role_gets_the_connection_string_that_is_meant_for_it() -> None:
    queue, store = "CLOUDSCALE_SERVICEBUS_CONNECTION_STRING", "CLOUDSCALE_COSMOS_CONNECTION_STRING"
    variables = {role: environment(role, SPECS["keys-of-roles"]) for role in ROLES}
    assert {role: variables[role][queue]["secretKeyRef"]["name"] for role in ROLES} == {
        role: f"cloudscale-servicebus-{role}" for role in ROLES
    }
    assert variables["ingestion"][store]["secretKeyRef"]["name"] == "cloudscale-cosmos-ingestion"
    assert variables["worker"][store]["secretKeyRef"]["name"] == "cloudscale-cosmos"
    access = find(build(SPECS["keys-of-roles"]), "TriggerAuthentication", "broker")["spec"]
    assert access["secretTargetRef"][0]["name"] == "cloudscale-servicebus-operator"


def test_each_role_runs_as_an_account_of_its_own() -> None:
    assert {role: pod(role)["serviceAccountName"] for role in ROLES} == {role: f"example-{role}" for role in ROLES}


def test_each_role_has_the_identity_that_is_meant_for_it() -> None:
    spec = SPECS["identities-of-roles"]
    objects = build(spec)
    for role, client_id in spec["identity"]["roleClientIds"].items():
        account = find(objects, "ServiceAccount", role)
        assert account["metadata"]["annotations"] == account["metadata"]["annotations"] | {CLIENT: client_id}
    assert {role: pod(role, spec)["serviceAccountName"] for role in ROLES} == {r: f"example-{r}" for r in ROLES}
    access = find(objects, "TriggerAuthentication", "broker")["spec"]
    assert access["podIdentity"]["identityId"] == spec["identity"]["roleClientIds"]["operator"]


def test_roles_that_share_an_identity_run_as_the_account_that_it_is_federated_with() -> None:
    spec = SPECS["workload-identity"]
    assert (
        pod("ingestion", spec)["serviceAccountName"] == pod("worker", spec)["serviceAccountName"] == "example-pipeline"
    )
    assert pod("dashboard", spec)["serviceAccountName"] == "example-dashboard"


@pytest.mark.parametrize(("role", "secret"), [("ingestion", "events-tls"), ("dashboard", "dashboard-tls")])
def test_a_certificate_is_mounted_and_its_service_probed_and_reached_over_tls(role: str, secret: str) -> None:
    spec = SPECS["certificates"]
    assert environment(role, spec)["CLOUDSCALE_TLS_FOLDER"] == "/etc/cloudscale/tls"
    described = pod(role, spec)
    (container,) = described["containers"]
    assert {"name": "certificate", "secret": {"secretName": secret}} in described["volumes"]
    assert {"name": "certificate", "mountPath": "/etc/cloudscale/tls", "readOnly": True} in container["volumeMounts"]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert {(probe["scheme"], probe["port"]) for probe in probes} == {("HTTPS", "https")}
    (port,) = find(build(spec), "Service", role)["spec"]["ports"]
    assert (port["name"], port["port"], port["targetPort"], port["appProtocol"]) == ("https", 443, 8080, "https")


def test_whoever_calls_ingestion_calls_its_port_of_tls() -> None:
    objects = build(SPECS["certificates"])
    (rule,) = find(objects, "Ingress", "ingestion")["spec"]["rules"]
    assert {path["backend"]["service"]["port"]["number"] for path in rule["http"]["paths"]} == {443}
    (route,) = find(objects, "HTTPRoute", "ingestion")["spec"]["rules"]
    assert [backend["port"] for backend in route["backendRefs"]] == [443]
    (trigger,) = find(objects, "ScaledObject", "ingestion")["spec"]["triggers"]
    assert trigger["metadata"]["url"] == "https://example-ingestion.shop.svc/figures"
    assert trigger["metadata"]["unsafeSsl"] == "true"
    endpoints = find(objects, "ServiceMonitor", "metrics")["spec"]["endpoints"]
    assert [(each["port"], each.get("scheme", "http")) for each in endpoints] == [
        ("https", "https"),
        ("metrics", "http"),
    ]
    assert status.endpoint(pipeline({"ingestion": {"tlsSecretName": "tls"}}), frozenset()) == (
        "https://example-ingestion.shop.svc"
    )


def test_without_a_certificate_pods_speak_http() -> None:
    assert "CLOUDSCALE_TLS_FOLDER" not in environment("ingestion")
    (container,) = pod("ingestion")["containers"]
    assert "scheme" not in container["readinessProbe"]["httpGet"]
    (port,) = find(build(), "Service", "ingestion")["spec"]["ports"]
    assert (port["name"], port["port"], "appProtocol" in port) == ("http", 80, False)


def test_the_authority_is_mounted_only_where_there_is_one() -> None:
    assert environment("worker")["CLOUDSCALE_CERTIFICATE_AUTHORITY_FILE"] == "/etc/cloudscale/authority/ca.crt"
    assert "CLOUDSCALE_CERTIFICATE_AUTHORITY_FILE" not in environment("worker", context="bare-cluster")


def test_only_the_dashboard_may_ask_the_api_server() -> None:
    tokens = {role: pod(role)["automountServiceAccountToken"] for role in ("ingestion", "worker", "dashboard")}
    assert tokens == {"ingestion": False, "worker": False, "dashboard": True}


@pytest.mark.parametrize("role", ["ingestion", "worker", "dashboard"])
@pytest.mark.parametrize("name", ["pinned", "pinned-beside-affinity"])
def test_a_pinned_pod_requires_the_label_in_every_alternative(role: str, name: str) -> None:
    affinity = pod(role, SPECS[name])["affinity"]
    terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    expected = (
        {"key": "cloudscale.io/bench", "operator": "Exists"}
        if name == "pinned"
        else {"key": "disk", "operator": "In", "values": ["fast"]}
    )
    assert terms
    assert all(expected in term["matchExpressions"] for term in terms)
    assert "topologySpreadConstraints" not in pod(role, SPECS[name])


def test_pods_spread_over_zones_and_rather_not_share_a_node() -> None:
    (constraint,) = pod("worker")["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "topology.kubernetes.io/zone"
    (term,) = pod("worker")["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


def test_spreading_can_be_switched_off() -> None:
    assert not {"affinity", "topologySpreadConstraints"} & set(pod("worker", SPECS["packed-together"]))


def test_an_autoscaler_owns_the_replicas() -> None:
    for role in ("ingestion", "worker"):
        assert "replicas" not in find(build(), "Deployment", role)["spec"]


def test_workers_follow_the_queue() -> None:
    scaled = find(build(), "ScaledObject", "worker")["spec"]
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "azure-servicebus"
    assert trigger["metadata"] == {"queueName": "events-ingestion", "messageCount": "50"}
    assert (scaled["pollingInterval"], scaled["cooldownPeriod"]) == (5, 60)
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (1, 20)
    assert scaled["fallback"] == {"failureThreshold": 3, "replicas": 2}


def test_workers_scale_to_zero_and_fall_back_to_no_more_than_the_maximum() -> None:
    scaled = find(build(SPECS["scale-to-zero"]), "ScaledObject", "worker")["spec"]
    assert scaled["minReplicaCount"] == 0
    assert scaled["fallback"]["replicas"] == 1
    assert scaled["cooldownPeriod"] == 2


def test_scaling_goes_up_at_once_and_down_slowly() -> None:
    advanced = find(build(), "ScaledObject", "worker")["spec"]["advanced"]
    behavior = advanced["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 60


def test_a_private_cloud_is_named_to_keda() -> None:
    (trigger,) = find(build(SPECS["private-cloud"]), "ScaledObject", "worker")["spec"]["triggers"]
    assert trigger["metadata"]["namespace"] == "example"
    assert trigger["metadata"]["cloud"] == "Private"
    assert trigger["metadata"]["endpointSuffix"] == "servicebus.example.org"


def test_a_paused_pipeline_keeps_no_worker() -> None:
    scaled = find(build(SPECS["paused"]), "ScaledObject", "worker")
    assert scaled["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] == "0"
    for context in ("default", "bare-cluster"):
        assert find(build(SPECS["paused"], context=context), "Deployment", "worker")["spec"]["replicas"] == 0


def test_a_paused_pipeline_still_drains() -> None:
    scaled = find(build(SPECS["paused"], context="draining"), "ScaledObject", "worker")
    assert "autoscaling.keda.sh/paused-replicas" not in scaled["metadata"]["annotations"]


def test_draining_takes_ingestion_away_and_leaves_workers() -> None:
    objects = build(context="draining")
    assert find(objects, "Deployment", "ingestion")["spec"]["replicas"] == 0
    assert [item["metadata"]["name"] for item in objects if item["kind"] == "ScaledObject"] == ["example-worker"]


def test_a_cluster_without_extensions_gets_none_of_their_kinds() -> None:
    kinds = {item["kind"] for item in build(SPECS["gateway"], context="bare-cluster")}
    assert not kinds & {"ScaledObject", "TriggerAuthentication", "HTTPRoute", "ServiceMonitor", "PrometheusRule"}
    assert "HorizontalPodAutoscaler" in kinds


@pytest.mark.parametrize("name", ["ingress", "gateway"])
def test_outsiders_reach_events_and_their_description_only(name: str) -> None:
    kind = {"ingress": "Ingress", "gateway": "HTTPRoute"}[name]
    (rule,) = find(build(SPECS[name]), kind, "ingestion")["spec"]["rules"]
    if name == "ingress":
        paths = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}
    else:
        paths = {match["path"]["value"]: match["path"]["type"] for match in rule["matches"]}
    prefixes = {path for path, kind in paths.items() if "Prefix" in kind}
    assert prefixes == {"/api"}
    assert {path for path, kind in paths.items() if kind == "Exact"} == {
        "/docs",
        "/docs.js",
        "/openapi.json",
        "/cloudscale.js",
    }
    assert all(path.startswith("/api/") for path in SINGLE_PATHS | BATCH_PATHS)


def test_alerting_rules_look_at_this_pipeline_only() -> None:
    groups = find(build(), "PrometheusRule", "cloudscale")["spec"]["groups"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    assert expressions
    assert all('namespace="shop",pipeline="example"' in expression for expression in expressions)


def test_scraped_series_name_their_pipeline() -> None:
    for endpoint in find(build(), "ServiceMonitor", "metrics")["spec"]["endpoints"]:
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["sourceLabels"] == ["__meta_kubernetes_service_label_cloudscale_io_pipeline"]
        assert relabeling["targetLabel"] == "pipeline"


def test_everything_is_denied_that_is_not_allowed() -> None:
    policy = find(build(), "NetworkPolicy", "default-deny")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(policy)


def admitted(role: str, spec: dict[str, Any] | None = None) -> tuple[list[str], list[str]]:
    """Names of the namespaces and networks that may connect to a role."""
    (rule,) = find(build(spec), "NetworkPolicy", role)["spec"]["ingress"]
    namespaces = [each["namespaceSelector"] for each in rule["from"] if "namespaceSelector" in each]
    names = [each.get("matchLabels", {}).get("kubernetes.io/metadata.name", "*") for each in namespaces]
    return names, [each["ipBlock"]["cidr"] for each in rule["from"] if "ipBlock" in each]


@pytest.mark.parametrize("role", ROLES)
def test_the_own_namespace_is_admitted_and_those_that_read_figures(role: str) -> None:
    assert admitted(role) == (["keda", "monitoring", "shop"], [])


@pytest.mark.parametrize("role", ["ingestion", "dashboard"])
def test_namespaces_and_networks_that_the_resource_names_are_admitted(role: str) -> None:
    namespaces = ["checkout", "ingress-nginx", "keda", "prometheus", "shop"]
    assert admitted(role, SPECS["admitted-namespaces"]) == (namespaces, ["10.1.0.0/16"])


def test_only_those_that_read_figures_are_admitted_to_workers() -> None:
    assert admitted("worker", SPECS["admitted-namespaces"]) == (["keda", "prometheus", "shop"], [])


def test_the_gateway_of_the_route_is_admitted() -> None:
    assert admitted("ingestion", SPECS["gateway"]) == (["infra", "keda", "monitoring", "shop"], [])
    assert admitted("worker", SPECS["gateway"]) == (["keda", "monitoring", "shop"], [])


def test_every_namespace_is_admitted_where_the_resource_says_so() -> None:
    assert admitted("ingestion", {"networkPolicy": {"ingressNamespaces": ["*"]}}) == (["*"], [])
    nobody_reads: dict[str, Any] = {"networkPolicy": {"monitoringNamespaces": []}}
    assert admitted("worker", nobody_reads) == (["shop"], [])


def test_a_port_that_the_resource_names_is_let_out() -> None:
    rules = find(build(SPECS["workload-identity"]), "NetworkPolicy", "backends")["spec"]["egress"]
    ports = {port["port"] for rule in rules for port in rule["ports"]}
    assert ports == {53, 4443, *BACKEND_PORTS}


def test_ports_of_the_secrets_and_of_a_plain_collector_are_let_out() -> None:
    context = replace(CONTEXTS["default"], backend_ports=frozenset({7000}))
    spec = {"telemetry": {"tracing": {"endpoint": "http://collector"}}}
    policy = find(desired_objects(pipeline(spec), context), "NetworkPolicy", "backends")["spec"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 80, 7000, *BACKEND_PORTS}


def test_a_node_can_be_emptied_even_with_one_replica() -> None:
    for role in ("ingestion", "worker"):
        assert find(build(), "PodDisruptionBudget", role)["spec"]["maxUnavailable"] == 1
