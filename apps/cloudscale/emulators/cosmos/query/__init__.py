"""Cosmos SQL, compiled to SQLite."""
