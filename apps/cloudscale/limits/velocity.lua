-- Adds events to their addresses' windows and counts.
-- KEYS: one set for each address. ARGV is one JSON object (one argument is cheaper to send than thousands):
--   window_milliseconds, kept_members, events (for each address a list of times in ms and ids, in the order of time).
-- Returns for each event the count of events in the window that ends with it.
local asked = cjson.decode(ARGV[1])
local window, kept = asked.window_milliseconds, asked.kept_members
local counts = {}
for place, events in ipairs(asked.events) do
  local key, trimmed, newest = KEYS[place], -1, math.huge
  if redis.call('ZCARD', key) >= kept then
    trimmed = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
    newest = tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  end
  for start = 1, #events, 2000 do
    redis.call('ZADD', key, unpack(events, start, math.min(start + 1999, #events)))
  end
  for at = 1, #events, 2 do
    local time = tonumber(events[at])
    if time < trimmed or (time >= newest and time - window < trimmed) then counts[#counts + 1] = kept
    else counts[#counts + 1] = redis.call('ZCOUNT', key, string.format('(%.3f', time - window), events[at]) end
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.3f', tonumber(events[1]) - 2 * window))
  redis.call('ZREMRANGEBYRANK', key, 0, -kept - 1)
  redis.call('PEXPIRE', key, 2 * window)
end
return counts
