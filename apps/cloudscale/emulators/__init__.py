"""Emulators of Azure Cosmos DB and Azure Service Bus, each a process of its own."""
