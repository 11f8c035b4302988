"""Pure functions from a pipeline to the manifests of its objects; nothing here talks to a cluster."""
