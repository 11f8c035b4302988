"""What an event must be, and what is added to it: types, checks, CloudEvents, enrichment."""
