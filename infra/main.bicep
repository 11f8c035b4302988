// What a pipeline needs on Azure besides a cluster: Service Bus namespace and queue, Cosmos DB account with autoscale,
// Redis, and an identity for each role that its pods take on. docs/azure.md says how to use it.
//
// Continuous integration has no Azure: this file is reviewed, not run there. `az deployment group what-if` shows what it
// would do.

targetScope = 'resourceGroup'

@description('Prefix of every name: 3 to 16 lower-case letters and digits.')
@minLength(3)
@maxLength(16)
param name string

param location string = resourceGroup().location

@description('OIDC issuer of the cluster: az aks show --query oidcIssuerProfile.issuerUrl')
param oidcIssuerUrl string

@description('Kubernetes namespaces whose pipelines may take on the identity, each with the name of its pipeline.')
param pipelines array = [
  { namespace: 'cloudscale', name: 'clickstream' }
]

@description('Upper end of the autoscale throughput of the database, in RU/s; a tenth of it is the lower end.')
@minValue(1000)
param cosmosAutoscaleMax int = 4000

@description('Names as in spec.queue.name, spec.store.database and spec.store.container.')
param queueName string = 'events-ingestion'
param databaseName string = 'EventsDb'
param containerName string = 'Events'

@description('Subnet for private endpoints. Without it the services are reached over their public endpoints.')
param privateEndpointSubnetId string = ''

@description('Virtual network that resolves the private names: that of the cluster.')
param virtualNetworkId string = ''

var isPrivate = !empty(privateEndpointSubnetId)
var publicNetworkAccess = isPrivate ? 'Disabled' : 'Enabled'
var suffix = uniqueString(resourceGroup().id)

var roles = ['ingestion', 'worker', 'dashboard', 'operator']

// One for each role. The operator makes a ServiceAccount for each, NAME-ROLE; it asks for tokens of NAME-operator itself to
// read the depth, and KEDA's scaler reads it as the same identity.
module identities 'identity.bicep' = [
  for role in roles: {
    name: 'identity-${role}'
    params: {
      name: '${name}-${role}'
      location: location
      oidcIssuerUrl: oidcIssuerUrl
      subjects: concat(
        map(pipelines, pipeline => {
          name: '${pipeline.namespace}-${pipeline.name}'
          subject: 'system:serviceaccount:${pipeline.namespace}:${pipeline.name}-${role}'
        }),
        role == 'operator' ? [{ name: 'keda', subject: 'system:serviceaccount:keda:keda-operator' }] : []
      )
    }
  }
]

module servicebus 'servicebus.bicep' = {
  name: 'servicebus'
  params: {
    name: '${name}-${suffix}'
    location: location
    queueName: queueName
    ingestionPrincipalId: identities[0].outputs.principalId
    workerPrincipalId: identities[1].outputs.principalId
    dashboardPrincipalId: identities[2].outputs.principalId
    operatorPrincipalId: identities[3].outputs.principalId
    // Private endpoints need the premium tier.
    tier: isPrivate ? 'Premium' : 'Standard'
    publicNetworkAccess: publicNetworkAccess
  }
}

module cosmos 'cosmos.bicep' = {
  name: 'cosmos'
  params: {
    name: '${name}-${suffix}'
    location: location
    databaseName: databaseName
    containerName: containerName
    autoscaleMax: cosmosAutoscaleMax
    ingestionPrincipalId: identities[0].outputs.principalId
    workerPrincipalId: identities[1].outputs.principalId
    dashboardPrincipalId: identities[2].outputs.principalId
    publicNetworkAccess: publicNetworkAccess
  }
}

module redis 'redis.bicep' = {
  name: 'redis'
  params: {
    name: '${name}-${suffix}'
    location: location
    publicNetworkAccess: publicNetworkAccess
  }
}

module servicebusEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'servicebus-endpoint'
  params: {
    name: '${name}-servicebus'
    location: location
    targetId: servicebus.outputs.id
    groupId: 'namespace'
    zoneName: 'privatelink.servicebus.windows.net'
    subnetId: privateEndpointSubnetId
    virtualNetworkId: virtualNetworkId
  }
}

module cosmosEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'cosmos-endpoint'
  params: {
    name: '${name}-cosmos'
    location: location
    targetId: cosmos.outputs.id
    groupId: 'Sql'
    zoneName: 'privatelink.documents.azure.com'
    subnetId: privateEndpointSubnetId
    virtualNetworkId: virtualNetworkId
  }
}

module redisEndpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'redis-endpoint'
  params: {
    name: '${name}-redis'
    location: location
    targetId: redis.outputs.id
    groupId: 'redisCache'
    zoneName: 'privatelink.redis.cache.windows.net'
    subnetId: privateEndpointSubnetId
    virtualNetworkId: virtualNetworkId
  }
}

output roleClientIds object = {
  ingestion: identities[0].outputs.clientId
  worker: identities[1].outputs.clientId
  dashboard: identities[2].outputs.clientId
  operator: identities[3].outputs.clientId
}
output servicebusNamespace string = servicebus.outputs.endpoint
output cosmosAccountEndpoint string = cosmos.outputs.endpoint
output redisName string = redis.outputs.name
