"""The kubectl and helm commands of the pages have subcommands and options that the tools know."""

from __future__ import annotations

import pytest
from tests.absent_tools import needs
from tests.docs.blocks import CHECKED, RUN, all_blocks, commands_of
from tests.docs.cluster_tools import TOOLS, unknown_words

SHOWN = [
    (block.page, command)
    for block in all_blocks(RUN, CHECKED)
    for command in commands_of(block.text)
    if command[0] in TOOLS
]


@pytest.mark.parametrize("tool", [pytest.param(tool, marks=needs(tool)) for tool in TOOLS])
def test_shown_commands_exist(tool: str) -> None:
    shown = [(page, command) for page, command in SHOWN if command[0] == tool]
    assert len(shown) >= 5
    wrong = {f"{page}: {' '.join(command)}": unknown_words(command) for page, command in shown}
    assert {command: words for command, words in wrong.items() if words} == {}


@needs("kubectl")
@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("kubectl --namespace shop get evp --all-namespaces -o yaml", []),
        ("kubectl --namespace shop create secret generic name --from-literal=a=b", []),
        ("kubectl exec deploy/x -- cloudscale verify --wait 60s", []),
        ("kubectl gett evp", ["gett"]),
        ("kubectl get evp --al-namespaces", ["--al-namespaces"]),
        ("kubectl get evp -q", ["-q"]),
    ],
)
def test_what_kubectl_does_not_know_is_found(command: str, unknown: list[str]) -> None:
    assert unknown_words(command.split()) == unknown


@needs("helm")
@pytest.mark.parametrize(
    ("command", "unknown"),
    [
        ("helm install name chart --namespace shop --set a=b", []),
        ("helm instal name chart", ["instal"]),
        ("helm test name --name-space shop", ["--name-space"]),
    ],
)
def test_what_helm_does_not_know_is_found(command: str, unknown: list[str]) -> None:
    assert unknown_words(command.split()) == unknown
