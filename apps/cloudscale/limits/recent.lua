-- Keeps one member under each key, and returns what was there before it.
-- KEYS: a sorted set for each subject, of members by their times. A key may stand there several times.
-- ARGV is one JSON object (one argument is cheaper to send than thousands):
--   window_milliseconds (for which members count), kept_members, seen (times in ms and members in turn).
-- Returns for each a list of members and times in turn, the latest first.
local asked = cjson.decode(ARGV[1])
local window, kept, given = asked.window_milliseconds, asked.kept_members, asked.seen
local found = {}
for place, key in ipairs(KEYS) do
  local time, member = given[2 * place - 1], given[2 * place]
  local earliest = string.format('(%.3f', tonumber(time) - window)
  found[place] = redis.call('ZREVRANGEBYSCORE', key, '(' .. time, earliest, 'WITHSCORES', 'LIMIT', 0, kept)
  redis.call('ZADD', key, time, member)
  redis.call('ZREMRANGEBYRANK', key, 0, -kept - 1)
  redis.call('PEXPIRE', key, window)
end
return found
