"""``spec.access`` of the resource."""

from __future__ import annotations

from typing import Any

import pytest

from cloudscale.errors import InvalidPipelineError
from cloudscale.pipeline import EventPipeline, SecretKey, load


def loaded(access: dict[str, Any]) -> EventPipeline:
    return load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "shop"},
            "spec": {"access": access},
        }
    )


def test_no_keys_are_given_unless_a_secret_is_named() -> None:
    assert loaded({}).spec.access.given_keys is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"name": "senders"}, SecretKey(name="senders", key="keys.yaml")),
        ({"name": "senders", "key": "keys.json"}, SecretKey(name="senders", key="keys.json")),
    ],
)
def test_given_keys_are_in_a_secret(reference: dict[str, str], expected: SecretKey) -> None:
    assert loaded({"keys": {"secretRef": reference}}).spec.access.given_keys == expected


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({}, "secretRef"),
        ({"secretRef": {}}, "name"),
        ({"secretRef": {"name": "Senders"}}, "secretRef.name"),
        ({"secretRef": {"name": "senders", "key": "a/b"}}, "secretRef.key"),
        ({"secretRef": {"name": "senders", "file": "x"}}, "file"),
        ({"file": "keys.yaml"}, "file"),
    ],
)
def test_what_names_no_secret_is_refused(keys: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidPipelineError, match=field):
        loaded({"keys": keys})
