"""What follows the store: a process beside the workers, so that what it waits for cannot slow them."""
