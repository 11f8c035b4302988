"""DuckDB, bounded and alone: it uses the memory that it is given and fetches nothing from anywhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb


def require_engine() -> None:
    """Make sure that DuckDB is there.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import duckdb  # noqa: F401, PLC0415 - large, and needed by few commands
    except ImportError:
        raise ConfigurationError(
            "the archive is written and read by DuckDB, which is not installed: pip install 'cloudscale[archive]'"
        ) from None


@contextmanager
def open_engine(*, memory: str, temporary: Path | None, threads: int = 1) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory. What is more than ``memory`` goes to the folder ``temporary``; without one it is refused.

    Raises:
        ConfigurationError: DuckDB is not installed.
    """
    require_engine()
    import duckdb  # noqa: PLC0415 - as above

    engine = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": "" if temporary is None else str(temporary),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        }
    )
    try:
        engine.execute("SET TimeZone = 'UTC'")
        yield engine
    finally:
        engine.close()


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"
