#!/usr/bin/env bash
# Sends one event until it is taken: send.sh URL. curl waits as long as Retry-After says, and repeats the same name.
# CLOUDSCALE_KEY is the API key, where one is needed.
set -euo pipefail

status=$(curl --silent --show-error --output /dev/null --write-out '%{http_code}' \
	--retry 8 --retry-connrefused --max-time 120 \
	${CLOUDSCALE_KEY:+--header "Authorization: Bearer $CLOUDSCALE_KEY"} \
	--header 'Content-Type: application/json' --header "Idempotency-Key: $(date +%s%N)-$RANDOM" \
	--data '{"eventType": "page_view", "tenantId": "shop", "userId": "ada", "url": "https://shop.example/hats"}' \
	"$1/api/v1/events")
echo "curl: $status"
# 409: an earlier attempt was taken, and only its answer was lost.
[[ $status =~ ^(200|202|409)$ ]]
