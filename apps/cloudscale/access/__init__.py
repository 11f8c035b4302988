"""Who may do what, and for whom: tenants, API keys, tokens and devices."""
