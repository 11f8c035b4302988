"""Names of what pipelines keep in Redis."""

from __future__ import annotations

from cloudscale.cache.keys import Keys


def values(keys: Keys) -> set[str]:
    return set(vars(keys).values())


def test_every_key_begins_with_the_pipelines_prefix() -> None:
    keys = Keys(namespace="shop", name="clicks")

    assert all(key.startswith("cloudscale:shop/clicks:") for key in values(keys))


def test_no_two_things_share_a_key() -> None:
    keys = Keys(namespace="shop", name="clicks")

    assert len(values(keys)) == len(vars(keys))


def test_pipelines_that_share_a_redis_do_not_meet() -> None:
    pipelines = [("a", "b"), ("a", "bc"), ("ab", "c"), ("b", "a")]
    names = [values(Keys(namespace=namespace, name=name)) for namespace, name in pipelines]

    assert len(set.union(*names)) == sum(map(len, names))
