-- Settles acceptances. After count.lua.
-- KEYS: 1 inflight hash, 2 prefix of the ledger's keys, 3 dead hash, 4 prefix of sets of unnamed ones that ended
-- ARGV is one JSON object (one argument is cheaper to send than thousands): stored {field, ...}, others {{field, kind,
--   tenant_id, hour, is_named}, ...}.
-- Returns 1 for each of the others that ended just now. Of those that are not named the end is noted whatever it is,
-- since the acceptance may be entered only afterwards.
local inflight, ledger, dead, unnamed_ended = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local asked = cjson.decode(ARGV[1])
local stored = asked.stored
for start = 1, #stored, 4000 do
  redis.call('HDEL', inflight, unpack(stored, start, math.min(start + 3999, #stored)))
end
local counters = {duplicate = 'duplicates', dead = 'dead'}
local settled = {}
for _, other in ipairs(asked.others) do
  local removed = redis.call('HDEL', inflight, other.field)
  if not other.is_named then
    local ended = unnamed_ended .. other.hour
    local is_first = redis.call('SADD', ended, other.field)
    redis.call('PEXPIRE', ended, 86400000)
    if removed == 0 and other.kind ~= 'redelivered' then removed = is_first end
  end
  settled[#settled + 1] = removed
  local counter = counters[other.kind]
  if removed == 1 and counter then
    if not other.is_named then counter = counter .. '-unnamed' end
    count(ledger, other.hour, other.tenant_id, counter, 1)
    if other.kind == 'dead' then
      redis.call('HSET', dead, other.field, other.tenant_id .. '\n' .. other.hour .. '\n' .. counter)
    end
  end
end
return settled
