"""The store on Cosmos DB: events, profiles, alerts and leases."""
