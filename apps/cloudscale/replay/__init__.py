"""Sends a file of events to a pipeline, and goes on where it was interrupted."""
