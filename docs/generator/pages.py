"""The reference pages by file name, and how they are written: ``python -m docs.generator.pages FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docs.generator import command_line, configuration, http_api, resource, telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES: dict[str, Callable[[], str]] = {
    "resource.md": resource.render,
    "command-line.md": command_line.render,
    "http-api.md": http_api.render,
    "metrics.md": telemetry.render_metrics,
    "alerts.md": telemetry.render_alerts,
    "conditions.md": configuration.render_conditions,
    "configuration.md": configuration.render_variables,
    "chart-values.md": configuration.render_chart_values,
}


def write_pages(folder: Path) -> None:
    """Write every page, and leave one alone that says the same already, so that it need not be built again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in PAGES.items():
        file, text = folder / name, render()
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
