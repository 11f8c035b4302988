"""Programs that some tests use and that README does not ask for: without one its tests are left out, and say so."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

# What brings each of them.
SOURCES = {
    "azurite-blob": "npm install --global azurite",
    "chromium": "apt-get install chromium",
    "helm": "https://helm.sh/docs/intro/install",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "promtool": "apt-get install prometheus",
}

_REASON = re.compile(r"(?P<tool>\S+) is not installed: ")


def absent(tool: str) -> str:
    """Why a test that needs this program is left out."""
    return f"{tool} is not installed: {SOURCES[tool]}"


def needs(tool: str) -> pytest.MarkDecorator:
    """Mark a test that is left out where this program is not on the PATH."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=absent(tool))


def left_out(reasons: Iterable[str]) -> str:
    """One sentence about the tests that were skipped for these reasons; empty if no program was missing."""
    tests = Counter(found["tool"] for reason in reasons if (found := _REASON.search(reason)))
    parts = [
        f"{number} that need {tool} ({SOURCES[tool]})" for tool, number in sorted(tests.items()) if tool in SOURCES
    ]
    if not parts:
        return ""
    return f"Left out: {sum(tests.values())} tests, for want of a program: {', '.join(parts)}."
