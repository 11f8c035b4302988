-- Moves counters of a former version into the hours' hashes. After count.lua.
-- KEYS: 1 a former hash, 2 prefix of the ledger's keys
-- ARGV: 1 cursor, 2 fields to look at, 3 kind, 4 the first hour that is kept
-- Returns the next cursor. A field is tenant, hour, and perhaps "unnamed" or the reason of a dead letter.
local former, ledger = KEYS[1], KEYS[2]
local cursor, fields, kind_of_hash, first_hour = unpack(ARGV)
local scanned = redis.call('HSCAN', former, cursor, 'COUNT', fields)
for place = 1, #scanned[2], 2 do
  local field, number = scanned[2][place], scanned[2][place + 1]
  local tenant, hour, rest = string.match(field, '^(.-)\n([^\n]*)\n?(.*)$')
  local kind = kind_of_hash
  if kind == 'accepted' and rest == 'unnamed' then kind = 'accepted-unnamed' end
  redis.call('HDEL', former, field)
  if not hour or hour < first_hour then
    redis.call('HINCRBY', ledger .. 'totals', kind, number)
  else
    count(ledger, hour, tenant, kind, number)
    if redis.call('SISMEMBER', ledger .. hour .. ':tenants', tenant) == 0 then tenant = '' end
    redis.call('HSET', ledger .. hour, tenant .. '\nmixed', 1)
  end
end
return scanned[1]
