"""Outlets: stored events on their way to subscribers, at least once, each subscriber from a place of its own."""
