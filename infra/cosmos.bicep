// A Cosmos DB account with the pipeline's database and containers, and what each role may do with them. No role may create
// containers, so they are made here, as the pipeline would make them; they share the database's autoscale throughput.

param name string
param location string
param databaseName string
param containerName string
param autoscaleMax int
param ingestionPrincipalId string
param workerPrincipalId string
param dashboardPrincipalId string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

// Cosmos DB Built-in Data Reader and Data Contributor.
var dataReader = '00000000-0000-0000-0000-000000000001'
var dataContributor = '00000000-0000-0000-0000-000000000002'
var directory = '${containerName}-access'
// Ingestion looks up who may send, and sees no event.
var assignments = [
  { principalId: ingestionPrincipalId, role: dataReader, scope: '/dbs/${databaseName}/colls/${directory}' }
  { principalId: workerPrincipalId, role: dataContributor, scope: '/dbs/${databaseName}' }
  { principalId: dashboardPrincipalId, role: dataReader, scope: '/dbs/${databaseName}' }
  { principalId: dashboardPrincipalId, role: dataContributor, scope: '/dbs/${databaseName}/colls/${directory}' }
]
// Partition key and time to live in seconds (-1: items decide) of each container.
var containers = [
  { name: containerName, partitionKey: '/partitionKey', timeToLive: 2592000 }
  { name: '${containerName}-profiles', partitionKey: '/partitionKey', timeToLive: -1 }
  { name: '${containerName}-alerts', partitionKey: '/partitionKey', timeToLive: 2592000 }
  { name: '${containerName}-leases', partitionKey: '/id', timeToLive: -1 }
  { name: '${containerName}-followers', partitionKey: '/id', timeToLive: -1 }
  { name: '${containerName}-outlets', partitionKey: '/outlet', timeToLive: -1 }
  { name: directory, partitionKey: '/tenantId', timeToLive: -1 }
]

resource account 'Microsoft.DocumentDB/databaseAccounts@2023-11-15' = {
  name: name
  location: location
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: false }]
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: 'Continuous7Days' } }
    disableLocalAuth: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: publicNetworkAccess
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2023-11-15' = {
  parent: account
  name: databaseName
  properties: {
    resource: { id: databaseName }
    options: { autoscaleSettings: { maxThroughput: autoscaleMax } }
  }
}

resource container 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2023-11-15' = [
  for item in containers: {
    parent: database
    name: item.name
    properties: {
      resource: {
        id: item.name
        partitionKey: { paths: [item.partitionKey], kind: 'Hash', version: 2 }
        defaultTtl: item.timeToLive
      }
    }
  }
]

// The account takes one change of its roles at a time.
@batchSize(1)
resource assignment 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2023-11-15' = [
  for item in assignments: {
    parent: account
    name: guid(account.id, item.principalId, item.role, item.scope)
    properties: {
      roleDefinitionId: '${account.id}/sqlRoleDefinitions/${item.role}'
      principalId: item.principalId
      scope: '${account.id}${item.scope}'
    }
    dependsOn: [container]
  }
]

output id string = account.id
output endpoint string = account.properties.documentEndpoint
