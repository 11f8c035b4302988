#!/bin/sh
# Removes the development cluster and everything in it, its volumes too.
. "$(dirname "$0")/environment.sh"

kind delete cluster --name "$cluster"
