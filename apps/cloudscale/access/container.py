"""The directory's container in the store: one document for each tenant, key and device, partitioned by tenant."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import structlog
from azure.core import MatchConditions
from azure.cosmos import PartitionKey, ThroughputProperties
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.access.records import Device, Key, Record, Reference, Tenant
from cloudscale.errors import BackendUnavailableError, CloudScaleError, ConfigurationError
from cloudscale.store.client import open_client
from cloudscale.store.conditions import Condition, all_of, as_parameters, one_of
from cloudscale.store.containers import FOREVER, indexing_policy, or_made_meanwhile
from cloudscale.store.errors import MissingContainerError, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from azure.cosmos.aio import CosmosClient

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings

log = structlog.get_logger(__name__)

R = TypeVar("R", Tenant, Key, Device)

INDEX = indexing_policy("tenantId", "kind", "position")
LOWEST_AUTOSCALE_RU = 1000
ATTEMPTS = 5
IDS_A_QUERY = 100
LARGEST_PAGE = 1000
TENANT_POSITIONS = ("tenant ", "tenant!")
"""Between these are those of all tenants, and of nothing else."""
MOST_KEYS_OF_DEVICE = 100
"""Shown of a device, which gets another one with each rotation."""

NAME_OF_KIND: dict[type[Record], Literal["tenant", "key", "device"]] = {
    Tenant: "tenant",
    Key: "key",
    Device: "device",
}


class AlreadyExistsError(ConfigurationError):
    """What should be created is there already."""


class NotFoundError(ConfigurationError):
    """What is named is not in the directory."""


class AccessContainer:
    """Reads and writes the directory. Nothing is cached here; see :mod:`cloudscale.access.directory`."""

    def __init__(self, client: CosmosClient, spec: Store) -> None:
        self._database = client.get_database_client(spec.database)
        self._spec = spec
        self._name = f"{spec.container}-access"
        self._container = self._database.get_container_client(self._name)
        self._client = client

    async def ensure(self) -> None:
        """Create the container, and the database, if they are absent.

        Raises:
            CredentialError: one is absent and the credential may not create it.
            BackendUnavailableError: the store cannot be reached.
        """
        with translated(f"read container {self._name}"):
            try:
                await self._container.read()
            except CosmosHttpResponseError as error:
                if error.status_code != 404:
                    raise
            else:
                return
        with translated(f"create database {self._spec.database}"), or_made_meanwhile():
            await self._client.create_database_if_not_exists(self._spec.database)
        with translated(f"create container {self._name}"), or_made_meanwhile():
            await self._database.create_container_if_not_exists(
                self._name,
                partition_key=PartitionKey(path="/tenantId"),
                offer_throughput=ThroughputProperties(auto_scale_max_throughput=LOWEST_AUTOSCALE_RU),
                default_ttl=FOREVER,
                indexing_policy=INDEX,
            )

    async def create(self, record: Record) -> None:
        """Add a record.

        Raises:
            AlreadyExistsError: there is one with its id.
        """
        document = document_of(record)
        with translated(f"create {document['id']}"):
            try:
                await self._container.create_item(document)
            except CosmosHttpResponseError as error:
                if error.status_code == 409:
                    instead = ", or change that one" if isinstance(record, Tenant) else ""
                    raise AlreadyExistsError(
                        f"{_named(record)} is there already: choose another name{instead}"
                    ) from None
                raise

    async def read(self, kind: type[R], identity: str, *, tenant_id: str) -> R:
        """One record of a tenant.

        Raises:
            NotFoundError: the tenant has none with this id.
        """
        return _record(await self._read(kind, identity, tenant_id), kind)

    async def change(self, kind: type[R], identity: str, *, tenant_id: str, change: Callable[[R], R]) -> R:
        """Replace a record by what ``change`` makes of it, though others may change it at the same time.

        Raises:
            NotFoundError: the tenant has none with this id.
            BackendUnavailableError: others changed it again and again.
        """
        for _ in range(ATTEMPTS):
            document = await self._read(kind, identity, tenant_id)
            changed = change(_record(document, kind))
            with translated(f"write {document['id']}"):
                try:
                    await self._container.replace_item(
                        document["id"],
                        document_of(changed),
                        etag=document["_etag"],
                        match_condition=MatchConditions.IfNotModified,
                    )
                except CosmosHttpResponseError as error:
                    if error.status_code not in {404, 412}:
                        raise
                else:
                    return changed
        raise BackendUnavailableError(
            f"cannot write {NAME_OF_KIND[kind]} {identity}: others change it at the same time; try again"
        )

    async def page(
        self,
        kind: type[R],
        *,
        tenant_id: str | None = None,
        after: str = "",
        limit: int = 100,
        fields: Mapping[str, str | None] = MappingProxyType({}),
    ) -> list[R]:
        """Records of one tenant, or of all, in the order of their tenants and ids.

        Args:
            kind: of which records.
            tenant_id: whose; None for everybody's, which is for administrators alone.
            after: the last record's position of the page before, as :func:`position_of` gives it.
            limit: at most so many.
            fields: what fields of the records have to be, by their names; None does not restrict.
        """
        name = NAME_OF_KIND[kind]
        # Tenants stand together in the order of positions: a store need not look through keys and devices for them.
        first, end = TENANT_POSITIONS if name == "tenant" else ("", None)
        options: dict[str, Any] = {} if tenant_id is None else {"partition_key": tenant_id}
        where, parameters = all_of(
            [
                Condition("c.kind = @kind", "@kind", name),
                Condition("c.position > @after", "@after", max(after, first)),
                Condition("c.position < @end", "@end", end),
                *(Condition(f"c.{field} = @{field}", f"@{field}", value) for field, value in fields.items()),
            ]
        )
        text = f"SELECT TOP {min(limit, LARGEST_PAGE)} * FROM c{where} ORDER BY c.position"  # noqa: S608 - names
        with translated(f"list {name}s"):
            try:
                rows = self._container.query_items(text, parameters=as_parameters(parameters), **options)
                return [_record(row, kind) async for row in rows]
            except CosmosHttpResponseError as error:
                if error.status_code == 404:
                    return []
                raise

    async def key_ids_of_device(self, tenant_id: str, device_id: str) -> list[str]:
        """The ids of a device's keys, those that do not hold any more among them."""
        keys = await self.page(Key, tenant_id=tenant_id, limit=MOST_KEYS_OF_DEVICE, fields={"deviceId": device_id})
        return [key.id for key in keys]

    async def find(self, references: Sequence[Reference]) -> dict[Reference, Tenant | Key]:
        """Those of many tenants and keys that are there, with few queries.

        Raises:
            BackendUnavailableError: the store cannot be asked.
        """
        found: dict[Reference, Tenant | Key] = {}
        keys = [reference.id for reference in references if reference.kind == "key"]
        tenants = [reference.id for reference in references if reference.kind == "tenant"]
        try:
            for some in _chunks([f"key:{each}" for each in keys]):
                for key in _readable(await self._query(*one_of("c.id", some)), Key):
                    found[Reference("key", key.id)] = key
            for some in _chunks(tenants):
                condition, parameters = one_of("c.tenantId", some)
                rows = await self._query(f"c.id = @id AND {condition}", {**parameters, "@id": "tenant"})
                for tenant in _readable(rows, Tenant):
                    found[Reference("tenant", tenant.id)] = tenant
        except MissingContainerError:
            # Nobody has created a tenant yet.
            return {}
        return found

    async def _query(self, condition: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
        with translated("look into the directory"):
            rows = self._container.query_items(
                f"SELECT * FROM c WHERE {condition}",  # noqa: S608 - names only
                parameters=as_parameters(parameters),
            )
            return [row async for row in rows]

    async def _read(self, kind: type[Record], identity: str, tenant_id: str) -> dict[str, Any]:
        name = NAME_OF_KIND[kind]
        with translated(f"read {name} {identity}"):
            try:
                return dict(await self._container.read_item(_id(name, identity), tenant_id))
            except CosmosHttpResponseError as error:
                if error.status_code == 404:
                    what = f"tenant {identity}" if kind is Tenant else f"{name} {identity} of tenant {tenant_id}"
                    raise NotFoundError(f"there is no {what}: look at `cloudscale {name}s list`") from None
                raise


@asynccontextmanager
async def open_access(spec: Store, settings: Settings) -> AsyncIterator[AccessContainer]:
    """The directory's container over a client of its own.

    Raises:
        ConfigurationError, BackendUnavailableError, CredentialError: as of :func:`cloudscale.store.client.open_client`.
    """
    async with open_client(spec, settings) as client:
        yield AccessContainer(client, spec)


def position_of(record: Record) -> str:
    """What records are ordered by."""
    return _named(record) if isinstance(record, Tenant) else f"{record.tenant_id}:{record.id}"


def _named(record: Record) -> str:
    return f"{NAME_OF_KIND[type(record)]} {record.id}"


def _id(name: str, identity: str) -> str:
    return name if name == "tenant" else f"{name}:{identity}"


def document_of(record: Record) -> dict[str, Any]:
    """A record as the container has it."""
    document: dict[str, Any] = msgspec.to_builtins(record)
    # Sets have no order of their own; a document that stays the same should look the same.
    document = {name: sorted(value) if isinstance(value, list) else value for name, value in document.items()}
    tenant_id = record.id if isinstance(record, Tenant) else record.tenant_id
    name = NAME_OF_KIND[type(record)]
    return {
        **document,
        "id": _id(name, record.id),
        "recordId": record.id,
        "tenantId": tenant_id,
        "position": position_of(record),
    }


def _record(document: dict[str, Any], kind: type[R]) -> R:
    try:
        return msgspec.convert({**document, "id": document["recordId"]}, kind)
    except (KeyError, msgspec.ValidationError) as error:
        raise CloudScaleError(
            f"the document {document.get('id')} of the directory cannot be read ({error}): another version wrote it"
        ) from error


def _readable(documents: Iterable[dict[str, Any]], kind: type[R]) -> Iterator[R]:
    """Those that can be read: one that cannot must not keep the callers of all others out."""
    for document in documents:
        try:
            yield _record(document, kind)
        except CloudScaleError as error:
            log.warning("a record of the directory is passed over", error=str(error))


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    return (ids[first : first + IDS_A_QUERY] for first in range(0, len(ids), IDS_A_QUERY))
