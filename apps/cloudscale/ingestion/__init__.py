"""The HTTP side: takes events, limits and checks them, and sends them to the broker in groups."""
