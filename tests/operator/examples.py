"""Specifications that between them use every part of the manifests, and the objects that they become."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cloudscale.pipeline import EventPipeline, load
from cloudscale_operator.children import child_key
from cloudscale_operator.context import Context
from cloudscale_operator.desired import desired_objects
from cloudscale_operator.kinds import OPTIONAL_KINDS, Manifest

SNAPSHOTS = Path(__file__).parent / "snapshots"
CLIENT_ID = "00000000-0000-0000-0000-000000000000"

SPECS: dict[str, dict[str, Any]] = {
    "default": {},
    "paused": {"paused": True},
    "archive": {"archive": {"blob": {"connectionSecretRef": {"name": "blob", "key": "connectionString"}}}},
    "outlets": {
        "outlets": [
            {
                "name": "crm",
                "webhook": {
                    "url": "https://crm.example:8443/hooks",
                    "secretRef": {"name": "crm-hook", "key": "secret"},
                },
                "filter": {"eventTypes": ["purchase"], "suspicious": False},
            },
            {
                "name": "data-lake",
                "webhook": {"url": "https://lake.example/", "secretRef": {"name": "lake-hook", "key": "secret"}},
            },
        ]
    },
    "scale-to-zero": {"processing": {"replicas": {"min": 0, "max": 1, "pollingInterval": "1s", "cooldown": "1500ms"}}},
    "pinned": {"placement": {"pinTo": "cloudscale.io/bench"}},
    "pinned-beside-affinity": {
        "placement": {
            "pinTo": "disk=fast",
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
                            {"matchExpressions": [{"key": "b", "operator": "Exists"}]},
                        ]
                    }
                }
            },
        }
    },
    "packed-together": {"placement": {"spread": False, "nodeSelector": {"pool": "events"}}},
    "tolerant": {"placement": {"tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]}},
    "workload-identity": {
        "queue": {"namespace": "example.servicebus.windows.net"},
        "store": {"endpoint": "https://example.documents.azure.com:4443/"},
        "identity": {"clientId": CLIENT_ID},
    },
    "private-cloud": {
        "queue": {"namespace": "example.servicebus.example.org"},
        "identity": {"clientId": CLIENT_ID},
    },
    "own-secrets": {
        "queue": {"connectionSecretRef": {"name": "broker", "key": "text"}, "name": "clicks"},
        "store": {"connectionSecretRef": {"name": "database", "key": "text"}},
        "cache": {"urlSecretRef": {"name": "cache", "key": "address"}},
    },
    "keys-of-roles": {
        "queue": {
            "roleSecretRefs": {
                role: {"name": f"cloudscale-servicebus-{role}", "key": "connectionString"}
                for role in ("ingestion", "worker", "dashboard", "operator")
            }
        },
        "store": {"roleSecretRefs": {"ingestion": {"name": "cloudscale-cosmos-ingestion", "key": "connectionString"}}},
    },
    "identities-of-roles": {
        "queue": {"namespace": "example.servicebus.windows.net"},
        "store": {"endpoint": "https://example.documents.azure.com:443/"},
        "identity": {
            "roleClientIds": {
                role: CLIENT_ID[:-1] + str(number)
                for number, role in enumerate(("ingestion", "worker", "dashboard", "operator"), start=1)
            }
        },
    },
    "admitted-namespaces": {
        "networkPolicy": {
            "ingressNamespaces": ["ingress-nginx", "checkout"],
            "ingressNetworks": ["10.1.0.0/16"],
            "monitoringNamespaces": ["keda", "prometheus"],
        }
    },
    "certificates": {
        "ingestion": {"tlsSecretName": "events-tls"},
        "dashboard": {"tlsSecretName": "dashboard-tls"},
        "expose": {"ingress": {"host": "events.example.com"}, "gateway": {"name": "edge"}},
    },
    "ingress": {"expose": {"ingress": {"host": "events.example.com", "className": "nginx", "tlsSecretName": "tls"}}},
    "gateway": {"expose": {"gateway": {"name": "edge", "namespace": "infra", "hostnames": ["events.example.com"]}}},
    "no-dashboard": {"dashboard": {"enabled": False}},
    "guarded-dashboard": {"dashboard": {"tokenSecretRef": {"name": "tokens", "key": "tokens.json"}}},
    "given-keys": {"access": {"mode": "Required", "keys": {"secretRef": {"name": "senders"}}}},
    "open": {"access": {"mode": "Open"}},
    "token-issuer": {
        "access": {"tokens": [{"issuer": "https://login.example.com:9443/realms/shop", "audiences": ["cloudscale"]}]}
    },
    "sign-in": {
        "dashboard": {
            "tokenSecretRef": {"name": "tokens", "key": "tokens.json"},
            "signIn": {
                "issuer": "https://login.example.com:8443/realms/shop",
                "clientId": "dashboard",
                "clientSecretRef": {"name": "client", "key": "secret"},
                "origin": "https://dashboard.example.com",
                "roles": [{"value": "operators", "role": "operator"}],
            },
        }
    },
    "untold": {"telemetry": {"serviceMonitor": False}},
    "large": {
        "ingestion": {"replicas": {"min": 6, "max": 60}, "resources": {"requests": {"cpu": "2"}, "limits": {}}},
        "processing": {"replicas": {"min": 10, "max": 200, "messagesPerReplica": 500, "fallback": 20}},
    },
}

CONTEXTS: dict[str, Context] = {
    "default": Context(
        image="cloudscale:1",
        authority_secret="cloudscale-backends-ca",
        credentials_hash="0123",
        broker_hash="4567",
        available=frozenset(OPTIONAL_KINDS),
    ),
    "bare-cluster": Context(image="cloudscale:1", image_pull_secrets=("registry",)),
    "draining": Context(image="cloudscale:1", available=frozenset(OPTIONAL_KINDS), draining=True),
}


def pipeline(spec: dict[str, Any] | None = None, *, name: str = "example", uid: str = "uid-1") -> EventPipeline:
    """A pipeline of the given specification as the API server would have it."""
    return load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": name, "namespace": "shop", "uid": uid, "generation": 1},
            "spec": spec or {},
        }
    )


def build(spec: dict[str, Any] | None = None, *, context: str = "default") -> list[Manifest]:
    """Everything that should exist for a specification."""
    return desired_objects(pipeline(spec), CONTEXTS[context])


@cache
def cases() -> dict[str, list[Manifest]]:
    """Every specification in an ordinary cluster, and the default one in every kind of cluster."""
    built = {name: build(spec) for name, spec in SPECS.items()}
    return built | {name: build(context=name) for name in CONTEXTS if name != "default"}


def differences(name: str) -> dict[str, Any]:
    """All objects of the default case; of another, those that are not the same as in the default one."""
    objects, usual = ({child_key(item): item for item in cases()[case]} for case in (name, "default"))
    if name == "default":
        usual = {}
    return {
        "objects": [item for key, item in objects.items() if usual.get(key) != item],
        "left out": [f"{key.kind} {key.name}" for key in usual if key not in objects],
    }


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """One object."""
    (found,) = [item for item in objects if child_key(item) == (kind, f"example-{name}")]
    return found


def main() -> None:
    """Write the snapshots anew: ``python -m tests.operator.examples``. Read the difference before committing it."""
    for name in cases():
        text = yaml.safe_dump(differences(name), sort_keys=False, width=120)
        (SNAPSHOTS / f"{name}.yaml").write_text(text)


if __name__ == "__main__":
    main()
