-- Note when devices sent, and how far their clocks were from ours.
-- KEYS: 1 sorted set of devices that were seen for the first time, for those who write that down; 2 and on one hash each
-- ARGV: 1 seconds to keep them, 2 milliseconds of a span whose smallest difference is kept, and then for each device:
--   its name, when it sent first and last, the latest difference ('' if none was measured); all in milliseconds
local KEPT, SPAN = ARGV[1], tonumber(ARGV[2])
for place = 2, #KEYS do
  local key, at = KEYS[place], 4 * place - 5
  local name, first, last, difference = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local known = redis.call('HMGET', key, 'first', 'last', 'since', 'least')
  if not known[1] then redis.call('ZADD', KEYS[1], 'NX', first, name) end
  local change = {}
  if not known[1] or tonumber(first) < tonumber(known[1]) then change = {'first', first} end
  if not known[2] or tonumber(last) > tonumber(known[2]) then
    change[#change + 1] = 'last'
    change[#change + 1] = last
  end
  if difference ~= '' then
    change[#change + 1] = 'difference'
    change[#change + 1] = difference
    if not known[3] or tonumber(last) - tonumber(known[3]) >= SPAN then
      for _, each in ipairs({'since', last, 'least', difference, 'before', known[4] or difference}) do
        change[#change + 1] = each
      end
    elseif tonumber(difference) < tonumber(known[4]) then
      change[#change + 1] = 'least'
      change[#change + 1] = difference
    end
  end
  if #change > 0 then redis.call('HSET', key, unpack(change)) end
  redis.call('EXPIRE', key, KEPT)
end
redis.call('EXPIRE', KEYS[1], KEPT)
return #KEYS - 1
