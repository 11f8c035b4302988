// A Service Bus namespace with the pipeline's queue, and what each role may do with that queue.

param name string
param location string
param queueName string
param ingestionPrincipalId string
param workerPrincipalId string
param dashboardPrincipalId string
param operatorPrincipalId string

@allowed(['Standard', 'Premium'])
param tier string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

// Azure Service Bus Data Sender and Data Receiver.
var dataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39')
var dataReceiver = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0')

var assignments = [
  { key: 'ingestion-sends', principalId: ingestionPrincipalId, role: dataSender }
  { key: 'worker-sends', principalId: workerPrincipalId, role: dataSender }
  { key: 'worker-receives', principalId: workerPrincipalId, role: dataReceiver }
  { key: 'dashboard-sends', principalId: dashboardPrincipalId, role: dataSender }
  { key: 'dashboard-receives', principalId: dashboardPrincipalId, role: dataReceiver }
  { key: 'operator-reads-depth', principalId: operatorPrincipalId, role: depthReader.id }
]

resource namespace 'Microsoft.ServiceBus/namespaces@2022-10-01-preview' = {
  name: name
  location: location
  sku: { name: tier, tier: tier }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
  }
}

// As the pipeline would create it, which none of its roles may: 5 GB, 14 days, a lock of 5 minutes, 10 deliveries.
resource queue 'Microsoft.ServiceBus/namespaces/queues@2022-10-01-preview' = {
  parent: namespace
  name: queueName
  properties: {
    maxSizeInMegabytes: 5120
    defaultMessageTimeToLive: 'P14D'
    lockDuration: 'PT5M'
    maxDeliveryCount: 10
    deadLetteringOnMessageExpiration: true
  }
}

// Reads the description and the depth of a queue, and no message. No built-in role is as small.
resource depthReader 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'cloudscale-depth-reader')
  properties: {
    roleName: 'CloudScale depth reader ${uniqueString(resourceGroup().id)}'
    description: 'Reads how deep a Service Bus queue is.'
    type: 'CustomRole'
    permissions: [{ actions: ['Microsoft.ServiceBus/namespaces/queues/read'], dataActions: [] }]
    assignableScopes: [resourceGroup().id]
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for item in assignments: {
    name: guid(queue.id, item.key, item.principalId)
    scope: queue
    properties: {
      roleDefinitionId: item.role
      principalId: item.principalId
      principalType: 'ServicePrincipal'
    }
  }
]

output id string = namespace.id
output endpoint string = '${namespace.name}.servicebus.windows.net'
