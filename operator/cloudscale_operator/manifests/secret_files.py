"""Secrets as files in a pod. What changes in a file holds without a restart, unlike a variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudscale.pipeline import SecretKey
from cloudscale_operator.names import ACCESS, FIRST_KEY_DIRECTORY, GIVEN_KEYS, KEYS_DIRECTORY, object_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.kinds import Manifest


@dataclass(frozen=True)
class SecretFile:
    """A Secret's key as a file in the pod, and the variable that says where it is."""

    variable: Manifest
    volume: Manifest
    mount: Manifest


def secret_file(
    name: str, secret: SecretKey | None, *, directory: str, variable: str, optional: bool = False
) -> SecretFile | None:
    """The file of one Secret's key in ``directory``, None without a Secret.

    With ``optional`` pods start without the Secret, and have the file once it is there.
    """
    if secret is None:
        return None
    source: dict[str, Any] = {"secretName": secret.name, "items": [{"key": secret.key, "path": secret.key}]}
    return SecretFile(
        variable={"name": variable, "value": f"{directory}/{secret.key}"},
        volume={"name": name, "secret": source | ({"optional": True} if optional else {})},
        mount={"name": name, "mountPath": directory, "readOnly": True},
    )


def key_files(pipeline: EventPipeline) -> list[SecretFile | None]:
    """The files that give keys to those who check them: the resource's, and the first key without its secret.

    Where they are missing, everybody else's keys hold: pods start without them.
    """
    access = pipeline.spec.access
    first = None
    if access.mode == "Required":
        first = SecretKey(name=object_name(pipeline.metadata.name, ACCESS), key=GIVEN_KEYS)
    return [
        secret_file(
            "first-key", first, directory=FIRST_KEY_DIRECTORY, variable="CLOUDSCALE_FIRST_KEY_FILE", optional=True
        ),
        secret_file(
            "keys",
            access.given_keys,
            directory=KEYS_DIRECTORY,
            variable="CLOUDSCALE_KEYS_FILE",
            optional=True,
        ),
    ]
