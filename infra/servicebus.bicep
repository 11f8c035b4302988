// A Service Bus namespace with the pipeline's queue, and the role to send, receive and administer.

param name string
param location string
param queueName string
param principalId string

@allowed(['Standard', 'Premium'])
param tier string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

// Azure Service Bus Data Owner: the operator reads depths, which is administration, and workers send and receive.
var dataOwner = '090c5cfd-751d-490a-894a-3ce6f1109419'

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

// As the pipeline would create it: 5 GB, 14 days, a lock of 5 minutes, 10 deliveries.
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

resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(namespace.id, principalId, dataOwner)
  scope: namespace
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataOwner)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output id string = namespace.id
output endpoint string = '${namespace.name}.servicebus.windows.net'
