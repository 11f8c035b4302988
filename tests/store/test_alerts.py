from __future__ import annotations

from cloudscale.store.alerts import MAXIMUM_ID_BYTES, alert_id


def test_an_alerts_id_follows_from_what_it_is_about() -> None:
    assert alert_id("cart", "e1") == "cart-e1"


def test_an_alerts_id_is_never_longer_than_the_store_takes() -> None:
    longest = [alert_id("cart", "\U0001f6d2" * 254 + last) for last in "ab"]
    assert all(len(each.encode()) <= MAXIMUM_ID_BYTES for each in longest)
    assert longest[0] != longest[1]
