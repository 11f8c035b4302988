"""The Tiltfile is evaluated as Starlark, with stand-ins that record what it asks Tilt for.

Tilt itself is not needed. What is checked is what breaks such files: a path, an image or an object that is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import starlark
import yaml
from tests.absent_tools import absent

ROOT = Path(__file__).parent.parent
PRELUDE = """
config = struct(define_string=config_define_string, parse=config_parse)
TRIGGER_MODE_MANUAL = "manual"
"""


@dataclass
class Call:
    """One call of a function of Tilt's."""

    function: str
    positional: tuple[Any, ...]
    named: dict[str, Any]


@dataclass
class Tilt:
    """The stand-ins for Tilt's functions, and what they were called with."""

    calls: list[Call] = field(default_factory=list)

    def evaluate(self, tiltfile: Path) -> None:
        module = starlark.Module()
        for name in ("docker_build", "k8s_yaml", "k8s_resource", "k8s_kind", "local_resource", "watch_file"):
            module.add_callable(name, self._recorder(name))
        for name in ("sync", "fall_back_on", "link", "port_forward"):
            module.add_callable(name, self._recorder(name, returns=name))
        module.add_callable("config_define_string", self._recorder("config_define_string"))
        module.add_callable("config_parse", dict)
        module.add_callable("local", self._local)
        module.add_callable("k8s_context", lambda: "kind-cloudscale-dev")
        module.add_callable(
            "read_yaml_stream", lambda path: list(yaml.load_all((ROOT / path).read_text(), yaml.CSafeLoader))
        )
        module.add_callable("encode_yaml_stream", lambda documents: yaml.dump_all(documents, Dumper=yaml.CSafeDumper))
        settings = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
        # Tilt allows what Starlark's standard leaves to the application: loops outside of functions.
        dialect = starlark.Dialect.standard()
        dialect.enable_top_level_stmt = True
        for name, source in (("prelude", PRELUDE), (tiltfile.name, tiltfile.read_text())):
            starlark.eval(module, starlark.parse(name, source, dialect), settings)

    def named(self, function: str) -> list[Call]:
        return [call for call in self.calls if call.function == function]

    def objects(self) -> list[dict[str, Any]]:
        """Everything that is handed to Kubernetes."""
        return [
            document
            for call in self.named("k8s_yaml")
            for document in yaml.load_all(call.positional[0], yaml.CSafeLoader)
            if document is not None
        ]

    def _recorder(self, function: str, returns: str | None = None) -> Any:
        def record(*positional: Any, **named: Any) -> str | None:
            self.calls.append(Call(function, positional, named))
            return returns

        return record

    def _local(self, command: list[str] | str, **named: Any) -> str:
        self.calls.append(Call("local", (command,), named))
        if isinstance(command, str) or command[0] == "kubectl":
            return ""
        # There is no cluster to look at here.
        offline = [part.replace("--dry-run=server", "--kube-version=1.34.0") for part in command]
        return subprocess.run(offline, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    if shutil.which("helm") is None:
        pytest.skip(absent("helm"))
    tilt = Tilt()
    tilt.evaluate(ROOT / "Tiltfile")
    return tilt


def test_the_image_is_built_from_files_that_are_there(tilt: Tilt) -> None:
    (build,) = tilt.named("docker_build")
    stages = [
        line.split()[-1] for line in (ROOT / build.named["dockerfile"]).read_text().splitlines() if " AS " in line
    ]
    assert build.named["target"] in stages
    assert all((ROOT / path).exists() for path in build.named["only"])


def test_live_update_copies_packages_to_where_the_image_runs_them(tilt: Tilt) -> None:
    reload_script = (ROOT / "kind/reload.sh").read_text()
    for source, target in (call.positional for call in tilt.named("sync")):
        assert (ROOT / source / "__init__.py").exists()
        assert Path(target).name == Path(source).name, "a package must keep its name"
        assert f"cp -r /opt/application {Path(target).parent}" in reload_script


def test_full_rebuilds_are_triggered_by_files_that_are_there(tilt: Tilt) -> None:
    (call,) = tilt.named("fall_back_on")
    assert all((ROOT / path).exists() for path in call.positional[0])


def test_the_built_image_is_the_one_that_the_charts_run(tilt: Tilt) -> None:
    (build,) = tilt.named("docker_build")
    images = {
        container["image"].rpartition(":")[0]
        for document in tilt.objects()
        if document["kind"] in {"Deployment", "StatefulSet"}
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert images == {build.positional[0], "redis"}


def test_the_operator_is_told_the_built_image_by_a_variable_that_tilt_replaces(tilt: Tilt) -> None:
    (build,) = tilt.named("docker_build")
    (operator,) = [document for document in tilt.objects() if document["kind"] == "Deployment"]
    variables = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert build.named["match_in_env_vars"]
    assert [entry["value"].rpartition(":")[0] for entry in variables if entry["name"] == "CLOUDSCALE_IMAGE"] == [
        "cloudscale"
    ]


def test_everything_goes_to_the_namespace_of_its_part(tilt: Tilt) -> None:
    places = {
        (document["kind"], document["metadata"]["name"]): document["metadata"].get("namespace")
        for document in tilt.objects()
    }
    assert places["StatefulSet", "servicebus"] == places["EventPipeline", "sample"] == "cloudscale-demo"
    assert (
        places["Deployment", "cloudscale-operator"] == places["ServiceAccount", "cloudscale-operator"] == "cloudscale"
    )
    nowhere = {kind for (kind, _name), namespace in places.items() if namespace is None}
    assert nowhere == {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


def test_the_namespaces_are_made_before_anything_goes_into_them(tilt: Tilt) -> None:
    commands = [call.positional[0] for call in tilt.calls if call.function == "local"]
    made = [command.split()[3] for command in commands if isinstance(command, str)]
    rendered = next(place for place, command in enumerate(commands) if command[0] == "helm")
    namespaces = {document["metadata"].get("namespace") for document in tilt.objects()} - {None}
    assert set(made) == namespaces
    assert all(isinstance(command, str) or command[0] == "kubectl" for command in commands[:rendered])


def test_every_resource_that_is_named_is_handed_to_kubernetes_or_defined(tilt: Tilt) -> None:
    objects = {document["metadata"]["name"] for document in tilt.objects()}
    local = {call.positional[0] for call in tilt.named("local_resource")}
    for call in tilt.named("k8s_resource"):
        assert call.positional[0] in objects
    for call in tilt.named("k8s_resource") + tilt.named("local_resource"):
        assert set(call.named.get("resource_deps", [])) <= objects | local


def test_port_forwards_name_ports_that_the_pods_have(tilt: Tilt) -> None:
    container_ports = {
        port["containerPort"]
        for document in tilt.objects()
        if document["kind"] == "StatefulSet"
        for container in document["spec"]["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    wanted = {call.positional[1] for call in tilt.named("port_forward")}
    wanted |= {
        int(forward.rpartition(":")[2])
        for call in tilt.named("k8s_resource")
        for forward in call.named.get("port_forwards", [])
        if ":" in forward
    }
    assert wanted
    assert wanted <= container_ports


def test_links_lead_to_ports_that_the_cluster_maps(tilt: Tilt) -> None:
    cluster = yaml.safe_load((ROOT / "kind/cluster.yaml").read_text())
    mappings = [mapping for node in cluster["nodes"] for mapping in node.get("extraPortMappings", [])]
    node_ports = {
        port["nodePort"]
        for document in tilt.objects()
        if document["kind"] == "Service" and document["spec"].get("type") == "NodePort"
        for port in document["spec"]["ports"]
    }
    served = {mapping["hostPort"] for mapping in mappings if mapping["containerPort"] in node_ports}
    for call in tilt.named("link"):
        assert int(call.positional[0].split("/")[2].rpartition(":")[2]) in served


def test_scripts_that_are_started_can_be(tilt: Tilt) -> None:
    commands = [call.named["cmd"] for call in tilt.named("local_resource")]
    for command in commands:
        if command[0].startswith("kind/"):
            assert os.access(ROOT / command[0], os.X_OK)


def test_a_button_replays_events_that_are_there_only_when_it_is_pressed(tilt: Tilt) -> None:
    (replay,) = [call for call in tilt.named("local_resource") if call.positional[0] == "replay purchases"]
    assert replay.named["trigger_mode"] == "manual"
    assert replay.named["auto_init"] is False
    command = replay.named["cmd"]
    assert command[1:3] == ["events", "replay"]
    assert (ROOT / command[3]).exists()


def test_changed_charts_are_noticed(tilt: Tilt) -> None:
    watched = {call.positional[0] for call in tilt.named("watch_file")}
    assert watched == {"charts/cloudscale", "charts/cloudscale-backends"}
