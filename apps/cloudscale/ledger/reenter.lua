-- Puts dead letters back in flight. After count.lua.
-- KEYS: 1 inflight hash, 2 prefix of the ledger's keys, 3 dead hash
-- ARGV is one JSON array of {field, value (to enter it with)}.
-- Returns how many were entered. An hour whose counters have expired is left alone: a new one would lack its other
-- counts.
local inflight, ledger, dead = KEYS[1], KEYS[2], KEYS[3]
local entered = 0
for _, entry in ipairs(cjson.decode(ARGV[1])) do
  local counter = redis.call('HGET', dead, entry.field)
  if counter then
    local tenant, hour, kind = string.match(counter, '^(.-)\n(.-)\n(.*)$')
    if kind ~= 'dead-unnamed' then kind = 'dead' end
    redis.call('HDEL', dead, entry.field)
    if redis.call('EXISTS', ledger .. hour) == 1 then
      count(ledger, hour, tenant, kind, -1)
    else
      redis.call('HINCRBY', ledger .. 'totals', kind, -1)
    end
    redis.call('HSET', inflight, entry.field, entry.value)
    entered = entered + 1
  end
end
return entered
