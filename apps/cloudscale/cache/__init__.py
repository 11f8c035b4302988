"""The connection to Redis, and the names of all keys of a pipeline in it."""
