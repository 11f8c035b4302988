"""Every pod template of every example meets the restricted Pod Security Standard, and more that a cluster expects.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.operator.examples import cases

TEMPLATES = [
    pytest.param(item["spec"]["template"]["spec"], id=f"{name}-{item['metadata']['name']}")
    for name, objects in cases().items()
    for item in objects
    if item["kind"] == "Deployment"
]
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "secret"}

every_pod = pytest.mark.parametrize("pod", TEMPLATES)
Pod = dict[str, Any]


@every_pod
def test_a_pod_runs_as_somebody_other_than_root(pod: Pod) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0


@every_pod
def test_a_pod_uses_the_runtimes_seccomp_profile(pod: Pod) -> None:
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@every_pod
def test_a_container_can_gain_nothing(pod: Pod) -> None:
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context


@every_pod
def test_a_pod_shares_nothing_with_its_node(pod: Pod) -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [port for container in pod["containers"] for port in container["ports"] if "hostPort" in port]
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= ALLOWED_VOLUMES


@every_pod
def test_a_container_writes_nowhere_but_to_its_volumes(pod: Pod) -> None:
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert writable == {"/tmp", environment["PROMETHEUS_MULTIPROC_DIR"]}


@every_pod
def test_a_container_is_probed(pod: Pod) -> None:
    for container in pod["containers"]:
        paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
        assert paths == {"startup": "/health", "liveness": "/health", "readiness": "/ready"}


@every_pod
def test_a_container_has_requests_and_limits_as_specified(pod: Pod) -> None:
    for container in pod["containers"]:
        assert container["resources"]["requests"]


@every_pod
def test_no_credential_stands_in_a_manifest(pod: Pod) -> None:
    for container in pod["containers"]:
        secret = [item for item in container["env"] if "CONNECTION_STRING" in item["name"] or "URL" in item["name"]]
        assert not any(item.get("value") for item in secret)


@every_pod
def test_every_mount_has_its_volume(pod: Pod) -> None:
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} == volumes


@every_pod
def test_a_pod_gets_longer_to_end_than_it_takes_to_drain(pod: Pod) -> None:
    (container,) = pod["containers"]
    stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["terminationGracePeriodSeconds"] - stop >= 30
