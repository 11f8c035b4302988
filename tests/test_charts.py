"""The charts as rendered: what their values mean, what stays on uninstall, and the policies their pods keep."""

from __future__ import annotations

import base64
import functools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.absent_tools import needs

from cloudscale_operator.hosts import AZURE_HOSTS
from cloudscale_operator.kinds import KINDS
from cloudscale_operator.options import read_options

ROOT = Path(__file__).parent.parent
CHARTS = ("cloudscale", "cloudscale-backends")
BACKENDS = ("servicebus", "cosmos", "redis")

pytestmark = needs("helm")


def helm(*arguments: str, fails: bool = False) -> str:
    """Run helm without a cluster; return its output, or what it complains about when it is meant to fail."""
    done = subprocess.run(
        ["helm", *arguments],
        cwd=ROOT,
        env=os.environ | {"KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


def render_anew(chart: str, *values: str) -> list[dict[str, Any]]:
    """The manifests of a chart in namespace ``demo``, with ``--set`` values."""
    settings = [part for value in values for part in ("--set", value)]
    # Without a cluster helm assumes a version of Kubernetes, which is not the same in every build of it.
    return documents_in(
        helm("template", chart, f"charts/{chart}", "--namespace=demo", "--kube-version=1.34.0", *settings)
    )


@functools.cache
def render(chart: str, *values: str) -> list[dict[str, Any]]:
    """The same, rendered once for all tests that look at it; none of them changes it."""
    return render_anew(chart, *values)


def documents_in(manifests: str) -> list[dict[str, Any]]:
    """The objects of a stream of YAML."""
    return [document for document in yaml.load_all(manifests, yaml.CSafeLoader) if document]


def find(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of that kind and name."""
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pod_specs(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The specification of every pod that the objects make."""
    templates = [
        each["spec"]["template"]["spec"] for each in documents if each["kind"] in {"Deployment", "StatefulSet"}
    ]
    return templates + [each["spec"] for each in documents if each["kind"] == "Pod"]


def pod_spec(documents: list[dict[str, Any]], backend: str) -> dict[str, Any]:
    """The specification of one backend's pods."""
    specification: dict[str, Any] = find(documents, "StatefulSet", backend)["spec"]["template"]["spec"]
    return specification


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_passes_the_linter(chart: str) -> None:
    helm("lint", f"charts/{chart}", "--strict", "--kube-version=1.34.0")


@pytest.mark.parametrize("chart", CHARTS)
def test_every_pod_is_unprivileged_and_limited(chart: str) -> None:
    specifications = pod_specs(render(chart))
    assert specifications
    for specification in specifications:
        assert specification["securityContext"]["runAsNonRoot"] is True
        assert specification["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert specification["enableServiceLinks"] is False
        for container in specification["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])


@pytest.mark.parametrize("chart", CHARTS)
def test_every_long_running_pod_is_probed(chart: str) -> None:
    for document in render(chart):
        if document["kind"] in {"Deployment", "StatefulSet"}:
            for container in document["spec"]["template"]["spec"]["containers"]:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


@pytest.mark.parametrize("chart", CHARTS)
def test_every_object_names_the_namespace_of_its_release(chart: str) -> None:
    # `helm template` writes what the templates say and nothing more: piped on, the rest goes wherever kubectl stands.
    clusterwide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for document in render(chart, *(["metrics.serviceMonitor=true"] if chart == "cloudscale" else [])):
        expected = None if document["kind"] in clusterwide else "demo"
        assert document["metadata"].get("namespace") == expected, document["kind"]


INSTALLATIONS = sorted(
    command.replace("\\\n", " ")
    for page in ("docs/kubernetes.md", "docs/azure.md")
    for command in re.findall(r"^helm install cloudscale(?:.*\\\n)*.*$", (ROOT / page).read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("command", INSTALLATIONS)
def test_an_installation_of_the_docs_runs_an_image_that_a_cluster_can_pull(command: str) -> None:
    typed = [word for word in shlex.split(command) if word != "--create-namespace"][2:]
    output = helm("template", *typed, "--kube-version=1.34.0")
    images = {
        container["image"]
        for specification in pod_specs(documents_in(output))
        for container in specification["containers"]
    }
    assert "REGISTRY/cloudscale:TAG" in images
    assert not [image for image in images if image.startswith("cloudscale:")]


def test_only_the_operator_holds_a_service_account_token() -> None:
    for specification in pod_specs(render("cloudscale-backends")):
        assert specification["automountServiceAccountToken"] is False


def test_the_operator_may_read_and_make_secrets_but_neither_list_nor_change_them() -> None:
    role = find(render("cloudscale"), "ClusterRole", "cloudscale-operator")
    verbs = {verb for rule in role["rules"] if "secrets" in rule["resources"] for verb in rule["verbs"]}
    assert verbs == {"get", "create"}
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]


def bound_to_the_operator(documents: list[dict[str, Any]]) -> dict[str | None, set[str]]:
    """The roles that the operator's account has, by namespace; None stands for the whole cluster."""
    roles: dict[str | None, set[str]] = {}
    for document in documents:
        if document["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            assert document["subjects"] == [
                {"kind": "ServiceAccount", "name": "cloudscale-operator", "namespace": "demo"}
            ]
            assert find(documents, document["roleRef"]["kind"], document["roleRef"]["name"])["rules"]
            roles.setdefault(document["metadata"].get("namespace"), set()).add(document["roleRef"]["name"])
    return roles


def test_the_operator_may_work_in_every_namespace_unless_some_are_named() -> None:
    assert bound_to_the_operator(render("cloudscale")) == {None: {"cloudscale-operator", "cloudscale-operator-cluster"}}


def test_an_operator_of_some_namespaces_may_work_in_those_alone() -> None:
    documents = render("cloudscale", "watchNamespaces={one,two}")
    assert bound_to_the_operator(documents) == {
        None: {"cloudscale-operator-cluster"},
        "one": {"cloudscale-operator"},
        "two": {"cloudscale-operator"},
    }
    everywhere = find(documents, "ClusterRole", "cloudscale-operator-cluster")["rules"]
    assert {(resource, *rule["verbs"]) for rule in everywhere for resource in rule["resources"]} == {
        ("customresourcedefinitions", "get", "list", "watch"),
        ("namespaces", "get", "list", "watch"),
    }


def test_what_the_operator_may_do_in_a_namespace_is_about_namespaced_kinds() -> None:
    # Bound by a RoleBinding, a rule about anything else gives nothing.
    rules = find(render("cloudscale"), "ClusterRole", "cloudscale-operator")["rules"]
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert not resources & {"namespaces", "nodes", "customresourcedefinitions", "clusterroles", "clusterrolebindings"}
    assert {kind.plural for kind in KINDS} <= resources


def test_the_operator_runs_once_and_is_replaced_rather_than_doubled() -> None:
    operator = find(render("cloudscale"), "Deployment", "cloudscale-operator")
    assert operator["spec"]["replicas"] == 1
    assert operator["spec"]["strategy"] == {"type": "Recreate"}


def test_the_pipelines_run_the_image_of_the_operator() -> None:
    documents = render("cloudscale", "image.repository=example/cloudscale", "image.tag=1.2.3")
    (container,) = find(documents, "Deployment", "cloudscale-operator")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example/cloudscale:1.2.3"
    assert {"name": "CLOUDSCALE_IMAGE", "value": "example/cloudscale:1.2.3"} in container["env"]


def test_the_charts_resource_definition_is_the_generated_one() -> None:
    chart, generated = ROOT / "charts/cloudscale/files/eventpipelines.yaml", ROOT / "crds/eventpipelines.yaml"
    assert chart.read_text() == generated.read_text(), f"copy {generated} to {chart}"


def test_the_operator_is_told_its_namespaces_and_pull_secrets() -> None:
    documents = render(
        "cloudscale", "watchNamespaces={one,two}", "imagePullSecrets[0].name=first", "imagePullSecrets[1].name=second"
    )
    (container,) = find(documents, "Deployment", "cloudscale-operator")["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["CLOUDSCALE_NAMESPACES"] == "one,two"
    assert variables["CLOUDSCALE_IMAGE_PULL_SECRETS"] == "first,second"


def operator_variables(*values: str) -> dict[str, str]:
    (container,) = find(render("cloudscale", *values), "Deployment", "cloudscale-operator")["spec"]["template"]["spec"][
        "containers"
    ]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_the_chart_and_the_operator_allow_the_same_hosts() -> None:
    assert tuple(operator_variables()["CLOUDSCALE_ALLOWED_HOSTS"].split(",")) == AZURE_HOSTS


def test_the_operator_is_told_hosts_tenant_and_runbooks() -> None:
    variables = operator_variables(
        "allowedHosts={.example.org,broker.example.com}",
        "azure.tenantId=a-tenant",
        "azure.authorityHost=https://login.example.org/",
        "runbooks=https://wiki.example.org/runbooks",
    )
    options = read_options([], variables)
    assert options.allowed_hosts == (".example.org", "broker.example.com")
    assert (options.azure_tenant_id, options.azure_authority_host) == ("a-tenant", "https://login.example.org/")
    assert options.runbooks == "https://wiki.example.org/runbooks"


def test_the_operator_may_allow_no_host_at_all() -> None:
    assert read_options([], operator_variables("allowedHosts=null")).allowed_hosts == ()


def test_the_resource_definition_survives_an_uninstall_with_every_pipeline() -> None:
    definition = find(render("cloudscale"), "CustomResourceDefinition", "eventpipelines.cloudscale.io")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_resource_definition_can_be_left_to_somebody_else() -> None:
    kinds = {document["kind"] for document in render("cloudscale", "crd.create=false")}
    assert "CustomResourceDefinition" not in kinds


def test_every_secret_of_the_backends_survives_an_uninstall() -> None:
    secrets = [document for document in render("cloudscale-backends") if document["kind"] == "Secret"]
    assert secrets
    for secret in secrets:
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_volume_outlives_the_release_and_has_the_asked_for_size(backend: str) -> None:
    documents = render(
        "cloudscale-backends", f"{backend}.persistence.size=3Gi", f"{backend}.persistence.storageClass=fast"
    )
    specification = find(documents, "StatefulSet", backend)["spec"]
    (claim,) = specification["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    assert specification["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_persistence_the_data_lies_in_a_bounded_temporary_volume(backend: str) -> None:
    documents = render("cloudscale-backends", f"{backend}.persistence.enabled=false")
    assert "volumeClaimTemplates" not in find(documents, "StatefulSet", backend)["spec"]
    volumes = {volume["name"]: volume for volume in pod_spec(documents, backend)["volumes"]}
    assert set(volumes["data"]["emptyDir"]) == {"sizeLimit"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_replicas_and_limits_are_passed_on(backend: str) -> None:
    documents = render("cloudscale-backends", f"{backend}.replicaCount=0", f"{backend}.resources.limits.cpu=2")
    assert find(documents, "StatefulSet", backend)["spec"]["replicas"] == 0
    (container,) = pod_spec(documents, backend)["containers"]
    assert container["resources"]["limits"] == {"cpu": 2, "memory": "1Gi"}


@pytest.mark.parametrize(
    ("label", "expression"),
    [
        ("cloudscale.io/bench", {"key": "cloudscale.io/bench", "operator": "Exists"}),
        ("disk=ssd", {"key": "disk", "operator": "In", "values": ["ssd"]}),
    ],
)
def test_a_pinned_backend_requires_the_label_of_its_node(label: str, expression: dict[str, Any]) -> None:
    for specification in pod_specs(render("cloudscale-backends", f"pinTo={label}")):
        required = specification["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert required["nodeSelectorTerms"] == [{"matchExpressions": [expression]}]


def test_connection_strings_carry_the_keys_that_the_servers_read() -> None:
    documents = render(
        "cloudscale-backends", "servicebus.sharedAccessKey=abc", "cosmos.accountKey=ZGVm", "redis.password=x"
    )

    def decoded(name: str, key: str) -> str:
        return base64.b64decode(find(documents, "Secret", name)["data"][key]).decode()

    assert "Endpoint=sb://servicebus.demo.svc;" in decoded("cloudscale-servicebus", "connectionString")
    assert ";SharedAccessKey=abc;" in decoded("cloudscale-servicebus", "connectionString")
    assert decoded("cloudscale-backends-keys", "servicebus") == "abc"
    assert decoded("cloudscale-cosmos", "connectionString") == (
        "AccountEndpoint=http://cosmos.demo.svc:8081/;AccountKey=ZGVm"
    )
    assert decoded("cloudscale-redis", "url") == "redis://:x@redis.demo.svc:6379/0"


def test_each_role_has_a_key_that_the_servers_know_with_its_rights() -> None:
    documents = render("cloudscale-backends")
    keys = find(documents, "Secret", "cloudscale-backends-keys")["data"]
    policies = {}
    for argument in find(documents, "StatefulSet", "servicebus")["spec"]["template"]["spec"]["containers"][0]["args"]:
        if argument.startswith("--shared-access-policy="):
            role, rights, file = argument.partition("=")[2].split(":")
            policies[role] = (rights, file.removeprefix("/keys/"))
    assert {role: rights for role, (rights, _) in policies.items()} == {
        "ingestion": "Send",
        "worker": "Listen,Send",
        "dashboard": "Listen,Send,EntityRead",
        "operator": "EntityRead",
    }
    for role, (_, file) in policies.items():
        held = find(documents, "Secret", f"cloudscale-servicebus-{role}")["data"]["connectionString"]
        key = base64.b64decode(keys[file]).decode()
        assert f";SharedAccessKeyName={role};SharedAccessKey={key};" in base64.b64decode(held).decode()
    held = find(documents, "Secret", "cloudscale-cosmos-ingestion")["data"]["connectionString"]
    assert base64.b64decode(held).endswith(b";AccountKey=" + base64.b64decode(keys["cosmos-read-only"]))
    assert base64.b64decode(base64.b64decode(keys["cosmos-read-only"]), validate=True)
    given = [value for name, value in keys.items() if name != "redis"]
    assert len(set(given)) == len(given)


def test_queues_are_created_for_pipelines_whose_roles_may_not() -> None:
    (specification,) = [
        each
        for each in pod_specs(render("cloudscale-backends", "servicebus.queues={clicks,orders}"))
        if each["containers"][0]["name"] == "servicebus"
    ]
    assert {"--queue=clicks", "--queue=orders"} <= set(specification["containers"][0]["args"])


def test_generated_keys_differ_from_release_to_release() -> None:
    first, second = (find(render_anew("cloudscale-backends"), "Secret", "cloudscale-backends-keys") for _ in range(2))
    assert all(first["data"][name] != second["data"][name] for name in BACKENDS)


def render_notes(chart: str, copy: Path, *values: str) -> str:
    """What helm prints after an installation, which takes a cluster: here it is rendered as part of a manifest."""
    shutil.copytree(ROOT / "charts" / chart, copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "notes.txt")
    (copy / "templates" / "notes.yaml").write_text('notes: {{ tpl (.Files.Get "notes.txt") . | quote }}\n')
    settings = [part for value in values for part in ("--set", value)]
    only = ("--show-only=templates/notes.yaml", "--kube-version=1.34.0")
    notes: str = yaml.safe_load(helm("template", "x", str(copy), *only, *settings))["notes"]
    return notes


def test_the_notes_say_what_loses_data(tmp_path: Path) -> None:
    notes = render_notes("cloudscale-backends", tmp_path / "chart", "redis.persistence.enabled=false")
    assert "DATA LOSS: redis runs without persistence" in notes
    assert "delete pvc data-servicebus-0 data-cosmos-0\n" in notes


@pytest.mark.parametrize(
    ("values", "namespaces"), [((), "every namespace"), (("watchNamespaces={one,two}",), "one, two")]
)
def test_the_notes_say_which_namespaces_the_operator_looks_after(
    tmp_path: Path, values: tuple[str, ...], namespaces: str
) -> None:
    notes = render_notes("cloudscale", tmp_path / "chart", *values)
    assert f"looks after the EventPipelines of {namespaces}.\n" in notes


@pytest.mark.parametrize(
    ("chart", "value", "complaint"),
    [
        ("cloudscale", "replicaCount=2", "replicaCount"),
        ("cloudscale", "logLevel=loud", "logLevel"),
        ("cloudscale", "image.pullPolicy=Sometimes", "pullPolicy"),
        ("cloudscale", "imag.tag=1", "imag"),
        ("cloudscale-backends", "redis.replicaCount=2", "replicaCount"),
        ("cloudscale-backends", "cosmos.persistence.size=big", "size"),
        ("cloudscale-backends", "servicebus.fsync=sometimes", "fsync"),
        ("cloudscale-backends", "pinTo=-x", "pinTo"),
        ("cloudscale-backends", "cosmos.accountKey=not base64", "accountKey"),
        ("cloudscale-backends", "postgres.enabled=true", "postgres"),
    ],
)
def test_a_wrong_value_is_refused_by_name(chart: str, value: str, complaint: str) -> None:
    assert complaint in helm("template", f"charts/{chart}", "--kube-version=1.34.0", "--set", value, fails=True)


def test_a_hash_that_looks_like_a_number_stays_a_text() -> None:
    # The hash of these keys begins with 5235942474600740, which YAML takes for a number.
    keys = ("cosmos.accountKey=AAAA", "redis.password=a", "servicebus.sharedAccessKey=key1526")
    template = find(render("cloudscale-backends", *keys), "StatefulSet", "redis")["spec"]["template"]
    assert template["metadata"]["annotations"]["cloudscale.io/credentials"] == "5235942474600740"
