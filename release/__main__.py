"""``python -m release``: what the release workflow and ``make version`` call."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from release import changelog, version
from release.errors import ReleaseError

ROOT = Path(__file__).parents[1]


def check(root: Path, tag: str) -> None:
    """Make sure that a checkout is what its tag says.

    Raises:
        ReleaseError: it is not; every fault is named, one a line.
    """
    tagged = version.parse_tag(tag)
    faults = version.disagreements(root)
    if (own := version.current(root)) != tagged:
        faults.insert(0, f"the tag {tag} names version {tagged}, and {version.SOURCE} says {own}")
    try:
        changelog.notes(_changelog(root), tagged)
    except ReleaseError as error:
        faults.append(str(error))
    if faults:
        raise ReleaseError("\n".join(faults))


def prepare(root: Path, number: str) -> None:
    """Write a version everywhere, and give what is unreleased in the changelog its number and today's date.

    Raises:
        ReleaseError: the version or the changelog is not fit for it; nothing is written then.
    """
    closed = changelog.close(_changelog(root), number, on=datetime.now(UTC).date())
    version.write(root, number)
    (root / changelog.FILE).write_text(closed)


def _changelog(root: Path) -> str:
    return (root / changelog.FILE).read_text()


def main(arguments: list[str], *, root: Path = ROOT) -> int:
    """Run a command; its exit code, 1 when the checkout is not fit for it."""
    parser = argparse.ArgumentParser(prog="python -m release")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="is this checkout what its tag says?").add_argument("tag", metavar="v1.2.3")
    commands.add_parser("notes", help="what the changelog says of a version").add_argument("tag", metavar="v1.2.3")
    commands.add_parser("prepare", help="write a version everywhere").add_argument("version", metavar="1.2.3")
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "check":
                check(root, options.tag)
            case "notes":
                sys.stdout.write(changelog.notes(_changelog(root), version.parse_tag(options.tag)) + "\n")
            case "prepare":
                prepare(root, options.version)
    except ReleaseError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"error: {line}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
