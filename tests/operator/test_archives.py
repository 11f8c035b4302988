"""An archive in Blob storage has a follower that writes it; one in a directory is refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.operator.harness import add_secret

if TYPE_CHECKING:
    from tests.operator.harness import Harness


async def test_an_archive_in_a_directory_is_refused_with_the_reason(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"archive": {}})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "ArchiveNotSupported"
    assert "name Blob storage in spec.archive.blob" in harness.condition("Ready")["message"]
    assert harness.status["phase"] == "Failed"
    assert not [path for path in harness.server.objects if "/example-" in path]


async def test_without_the_archive_the_same_pipeline_is_made(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"archive": {}})
    await harness.visit()
    body = harness.server.pipeline()
    assert body is not None
    del body["spec"]["archive"]
    await harness.visit()
    assert [path for path in harness.server.objects if "/example-" in path]


BLOB = {"blob": {"connectionSecretRef": {"name": "blob", "key": "connectionString"}}}


async def test_an_archive_in_blob_storage_has_one_follower_with_the_rights_that_it_needs(harness: Harness) -> None:
    add_secret(harness.server, "blob", connectionString="AccountName=a;BlobEndpoint=http://blobs.shop.svc:10017/a")
    harness.server.add_pipeline(spec={"archive": BLOB})
    await harness.visit()
    deployment = harness.server.objects["/apis/apps/v1/namespaces/shop/deployments/example-follower"]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "example-follower"
    assert not pod["automountServiceAccountToken"]
    (container,) = pod["containers"]
    variables = {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
    assert variables["CLOUDSCALE_ARCHIVE_CONNECTION_STRING"] == {
        "secretKeyRef": {"name": "blob", "key": "connectionString"}
    }
    assert variables["CLOUDSCALE_REDIS_URL"] == ""
    assert "CLOUDSCALE_SERVICEBUS_CONNECTION_STRING" not in variables
    policies = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
    assert f"{policies}/example-follower" in harness.server.objects
    (_, outward) = harness.server.objects[f"{policies}/example-backends"]["spec"]["egress"]
    assert {"protocol": "TCP", "port": 10017} in outward["ports"]


async def test_an_archive_without_its_secret_says_so(harness: Harness) -> None:
    harness.server.add_pipeline(spec={"archive": BLOB})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "SecretMissing"
    assert "the archive needs the Secret blob, which does not exist" in harness.condition("Ready")["message"]


async def test_a_pipeline_whose_archive_is_taken_out_loses_its_follower(harness: Harness) -> None:
    add_secret(harness.server, "blob", connectionString="AccountName=a")
    harness.server.add_pipeline(spec={"archive": BLOB})
    await harness.visit()
    body = harness.server.pipeline()
    assert body is not None
    del body["spec"]["archive"]
    await harness.visit()
    assert not [path for path in harness.server.objects if path.endswith("/example-follower")]
