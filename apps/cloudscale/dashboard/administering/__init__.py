"""Tenants and API keys over HTTP: by API with a key or token, and for the dashboard's page *Access* with a session."""
