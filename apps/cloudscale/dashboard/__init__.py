"""The dashboard: what a pipeline does at present, its events, users, alerts and dead letters, in a browser."""
