-- Note that records have changed: a new version, the changes since which readers ask for, and no cached copy any more.
-- KEYS: 1 version, 2 sorted set of changes by version, 3 and on the cached copies
-- ARGV: 1 how many changes are kept, 2 and on the references of the records
-- A version is a time in microseconds, or one more than the last: it never comes again, not even after Redis lost it.
local clock = redis.call('TIME')
local version = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) + 1, clock[1] * 1000000 + clock[2])
local text = string.format('%.0f', version)
redis.call('SET', KEYS[1], text)
for place = 2, #ARGV do redis.call('ZADD', KEYS[2], text, ARGV[place]) end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[1])
for place = 3, #KEYS do redis.call('UNLINK', KEYS[place]) end
return text
