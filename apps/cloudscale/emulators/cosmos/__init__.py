"""A Cosmos DB account on one machine: the SQL API over HTTP, stored in SQLite.

Speaks the REST protocol of Azure Cosmos DB (gateway mode), so that the official SDKs work unchanged. Start it with
``python -m cloudscale.emulators.cosmos --data-dir DIR``.
"""
