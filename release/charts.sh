#!/bin/sh
# Packs charts into a folder, as they are pushed to a registry: release/charts.sh FOLDER CHART...
# A chart with dependencies has them fetched first, which takes a network.
set -eu
folder=$(mkdir -p "${1:?a folder for the packages}" && realpath "$1")
shift
cd "$(dirname "$0")/../charts"
for chart; do
	if grep -q '^dependencies:' "$chart/Chart.yaml"; then
		helm dependency build "$chart" >&2
	fi
	helm package "$chart" --destination "$folder"
done
