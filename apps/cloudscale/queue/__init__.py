"""The queue on Service Bus: sending, receiving, dead letters and administration."""
