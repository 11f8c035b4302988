// The identity of one role, and who may take it on: ServiceAccounts of the cluster.

param name string
param location string
param oidcIssuerUrl string

@description('Names of the credentials, each with the subject in the tokens of a ServiceAccount.')
param subjects array

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

@batchSize(1)
resource credential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [
  for item in subjects: {
    parent: identity
    name: item.name
    properties: {
      issuer: oidcIssuerUrl
      subject: item.subject
      audiences: ['api://AzureADTokenExchange']
    }
  }
]

output clientId string = identity.properties.clientId
output principalId string = identity.properties.principalId
