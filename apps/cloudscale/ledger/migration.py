"""Moves the counters of earlier versions into the hours' hashes.

They were three hashes without an expiry, with a field for each tenant and hour. Whoever reads the ledger moves them
first, and so does a worker when it starts: while a pipeline is rolled, processes of the earlier version go on writing
there. A field is moved in one step, so that it is counted in one place at every moment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cloudscale.cache.records import COUNT_LUA, PERIOD, hour_at

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys

FIELDS_A_CALL = 500

# KEYS: a former hash, prefix of the ledger's keys. ARGV: cursor, fields to look at, kind, the first hour that is kept.
# Returns the next cursor. A field is tenant, hour, and perhaps "unnamed" or the reason of a dead letter.
_MOVE = (
    COUNT_LUA
    + """
local scanned = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
for place = 1, #scanned[2], 2 do
  local field, number = scanned[2][place], scanned[2][place + 1]
  local tenant, hour, rest = string.match(field, '^(.-)\\n([^\\n]*)\\n?(.*)$')
  local kind = ARGV[3]
  if kind == 'accepted' and rest == 'unnamed' then kind = 'accepted-unnamed' end
  redis.call('HDEL', KEYS[1], field)
  if not hour or hour < ARGV[4] then
    redis.call('HINCRBY', KEYS[2] .. 'totals', kind, number)
  else
    count(KEYS[2], hour, tenant, kind, number)
    if redis.call('SISMEMBER', KEYS[2] .. hour .. ':tenants', tenant) == 0 then tenant = '' end
    redis.call('HSET', KEYS[2] .. hour, tenant .. '\\nmixed', 1)
  end
end
return scanned[1]
"""
)


async def migrate(redis: Redis, keys: Keys) -> None:
    """Move what there is to move; costs one call when there is nothing.

    Raises:
        redis.exceptions.RedisError: Redis did not answer; the same call again goes on.
    """
    former = {
        keys.former_accepted: "accepted",
        keys.former_duplicates: "duplicates",
        keys.former_dead_letters: "dead",
    }
    if not await redis.exists(*former):
        return
    move = redis.register_script(_MOVE)
    first_hour = hour_at(time.time() - PERIOD.total_seconds())
    for key, kind in former.items():
        cursor = 0
        while True:
            cursor = int(await move(keys=[key, keys.ledger], args=[cursor, FIELDS_A_CALL, kind, first_hour]))
            if not cursor:
                break
