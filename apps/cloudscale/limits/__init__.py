"""Rate limits, idempotency and the velocity windows, shared by all replicas through Redis."""
