"""The API that reads stored events and users, for programs with a key or token: ``/api/v1/…``."""
