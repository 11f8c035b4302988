// Azure Cache for Redis. It keeps rate limits, idempotency records and the ledger that `cloudscale verify` reads.

param name string
param location string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

resource redis 'Microsoft.Cache/redis@2023-08-01' = {
  name: name
  location: location
  properties: {
    // Standard: a replica, so that a restart of one node forgets nothing.
    sku: { name: 'Standard', family: 'C', capacity: 1 }
    enableNonSslPort: false
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
    // What is in flight has no expiry, and the hours of the ledger have the longest: they must not go to make room.
    redisConfiguration: { 'maxmemory-policy': 'volatile-ttl' }
  }
}

output id string = redis.id
output name string = redis.name
