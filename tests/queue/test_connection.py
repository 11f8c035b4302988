from __future__ import annotations

import pytest

from cloudscale.errors import BackendUnavailableError
from cloudscale.queue.connection import translated


def test_a_link_that_the_sdk_trips_over_means_that_the_broker_cannot_be_used() -> None:
    with (
        pytest.raises(BackendUnavailableError, match="the connection to the broker broke"),
        translated("close a receiver"),
    ):
        raise AttributeError("'NoneType' object has no attribute 'end'")


def test_a_mistake_of_our_own_stays_what_it_is() -> None:
    with pytest.raises(AttributeError, match="finish"), translated("close a receiver"):
        raise AttributeError("'Receiver' object has no attribute 'finish'")
