from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.servers import office as offices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.office import Office


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A dashboard whose directory has three tenants."""
    with offices.office(tmp_path_factory.mktemp("office")) as office:
        yield office
