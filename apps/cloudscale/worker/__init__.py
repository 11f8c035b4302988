"""The worker: takes events from the queue, checks and flags them, stores them, and keeps the profiles."""
