-- Keep copies of records that were read from the store, unless something has changed since before they were read.
-- KEYS: 1 version, 2 and on the copies
-- ARGV: 1 the version before the reading, 2 seconds to keep them, 3 and on their contents
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
for place = 2, #KEYS do redis.call('SET', KEYS[place], ARGV[place + 1], 'EX', ARGV[2]) end
return 1
