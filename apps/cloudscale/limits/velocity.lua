-- Counts requests in the window that ends with each event.
-- KEYS: one sorted set for each sender, of names of requests by their times.
-- ARGV is one JSON object (one argument is cheaper to send than thousands):
--   window_milliseconds, kept_members, senders (for each a pair: times in ms and names of its requests in turn, in the
--   order of time, and the times of the events to be judged, in the same order).
-- Returns for each event the count.
local asked = cjson.decode(ARGV[1])
local window, kept = asked.window_milliseconds, asked.kept_members
local counts = {}
for place, sender in ipairs(asked.senders) do
  local key, requests, times, trimmed, newest = KEYS[place], sender[1], sender[2], -1, math.huge
  if redis.call('ZCARD', key) >= kept then
    trimmed = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
    newest = tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  end
  for start = 1, #requests, 2000 do
    redis.call('ZADD', key, unpack(requests, start, math.min(start + 1999, #requests)))
  end
  for _, text in ipairs(times) do
    local time = tonumber(text)
    if time < trimmed or (time >= newest and time - window < trimmed) then counts[#counts + 1] = kept
    else counts[#counts + 1] = redis.call('ZCOUNT', key, string.format('(%.3f', time - window), text) end
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.3f', tonumber(times[1]) - 2 * window))
  redis.call('ZREMRANGEBYRANK', key, 0, -kept - 1)
  redis.call('PEXPIRE', key, 2 * window)
end
return counts
