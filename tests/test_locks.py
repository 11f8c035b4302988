"""The locks install with the oldest pip that is supported: each requirement with extras is pinned with them."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.servers.coverage import unmeasured_environment

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What the Makefile resolves each lock from: extras of this project, or other requirements.
SOURCES = {
    "dev": [f"cloudscale[{','.join(PROJECT['optional-dependencies'])}]"],
    "runtime": ["cloudscale[apps,archive,operator,tracing]"],
    "build": ["hatchling", "editables"],
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


class Pin(NamedTuple):
    """A line of a lock."""

    name: str
    extras: frozenset[str]
    version: str
    line: str


def pins(lock: str) -> dict[str, Pin]:
    """What a lock pins, by name."""
    found: dict[str, Pin] = {}
    for line in re.findall(r"^[a-z0-9][^\\\n]*", (ROOT / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE):
        requirement = Requirement(line)
        (version,) = requirement.specifier
        name = canonicalize_name(requirement.name)
        found[name] = Pin(name, frozenset(requirement.extras), version.version, line.strip())
    return found


def requirements_of(name: str) -> list[str]:
    """What a distribution asks for, with and without extras; nothing if only another Python needs it."""
    try:
        return distribution(name).requires or []
    except PackageNotFoundError:
        return []


def unlocked(lock: str, python: str) -> list[str]:
    """The requirements, of whatever this lock installs on this Python, that it does not pin with all their extras."""
    pinned = pins(lock)
    environment = cast("dict[str, str]", default_environment()) | {"python_version": python}
    environment["python_full_version"] = f"{python}.0"
    faults: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [("the Makefile", Requirement(source)) for source in SOURCES[lock]]
    while waiting:
        asker, asked = waiting.pop()
        name, extras = canonicalize_name(asked.name), frozenset(asked.extras)
        if name != "cloudscale":
            pin = pinned.get(name)
            if pin is None or not extras <= pin.extras:
                faults.add(f"{asker} asks for {asked}, and the lock has {pin.line if pin else 'nothing of it'}")
                continue
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        waiting += [
            (name, each)
            for each in map(Requirement, requirements_of(name))
            if each.marker is None
            or any(each.marker.evaluate(environment | {"extra": extra}) for extra in ("", *extras))
        ]
    return sorted(faults)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", SOURCES)
def test_a_requirement_with_extras_is_pinned_with_them(lock: str, python: str) -> None:
    assert unlocked(lock, python) == []


def test_a_lost_extra_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pins("dev")
    stripped = whole | {"coverage": whole["coverage"]._replace(extras=frozenset())}
    monkeypatch.setattr(sys.modules[__name__], "pins", {"dev": stripped}.get)
    (fault,) = unlocked("dev", "3.11")
    assert fault.startswith("pytest-cov asks for coverage[toml]")


def placeholder(pin: Pin, folder: Path) -> Path:
    """A wheel that asks for what the distribution asks for and holds nothing."""
    stem = f"{pin.name.replace('-', '_')}-{pin.version}"
    installed = distribution(pin.name)
    metadata = "\n".join(
        [
            "Metadata-Version: 2.1",
            f"Name: {pin.name}",
            f"Version: {pin.version}",
            *(f"Provides-Extra: {extra}" for extra in installed.metadata.get_all("Provides-Extra") or []),
            *(f"Requires-Dist: {requirement}" for requirement in installed.requires or []),
            "",
        ]
    )
    wheel = folder / f"{stem}-py3-none-any.whl"
    files = {
        "METADATA": metadata,
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        record = ""
        for name, text in files.items():
            archive.writestr(f"{stem}.dist-info/{name}", text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{stem}.dist-info/{name},sha256={digest},{len(text.encode())}\n"
        archive.writestr(f"{stem}.dist-info/RECORD", record + f"{stem}.dist-info/RECORD,,\n")
    return wheel


def resolve(folder: Path, lines: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Let this environment's pip resolve these lines, by name, with placeholders for the distributions."""
    folder.mkdir(exist_ok=True)
    locked = []
    for pin in pins("dev").values():
        if pin.name in lines and is_for_this_python(pin):
            digest = hashlib.sha256(placeholder(pin, folder).read_bytes()).hexdigest()
            # Tomorrow's version of everything: pip prefers it wherever the lock leaves a choice.
            placeholder(pin._replace(version="99999"), folder)
            locked.append(f"{lines[pin.name]} --hash=sha256:{digest}")
    (folder / "lock").write_text("\n".join(locked))
    options = ("--isolated", "--no-index", "--no-cache-dir", f"--find-links={folder}", "--require-hashes")
    # Nothing that is installed may count, and nothing is installed.
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--dry-run", "--ignore-installed", "-r", folder / "lock"],
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def is_for_this_python(pin: Pin) -> bool:
    marker = Requirement(pin.line).marker
    return marker is None or marker.evaluate()


@pytest.mark.parametrize("lock", ["dev", "runtime"])
def test_the_environments_own_pip_resolves_a_lock(lock: str, tmp_path: Path) -> None:
    """CI makes the environment with the oldest pip that is supported, so that it is this one which resolves."""
    done = resolve(tmp_path / lock, {name: pin.line for name, pin in pins(lock).items()})
    assert done.returncode == 0, done.stderr
    assert "Would install" in done.stdout
