-- Takes back reservations of events that were not sent. A name that a retry has taken over meanwhile is the retry's.
-- KEYS: 1 inflight hash, 2 prefix of idempotency hashes
-- ARGV is one MessagePack map: span_milliseconds (of one idempotency hash), reservations {{name, record (without its
--   time), field}, ...}.
local inflight, idempotency = KEYS[1], KEYS[2]
local asked = cmsgpack.unpack(ARGV[1])
local clock = redis.call('TIME')
local span = math.floor((clock[1] * 1000 + clock[2] / 1000) / asked.span_milliseconds)
for _, reservation in ipairs(asked.reservations) do
  for age = 0, 2 do
    local hash = idempotency .. string.format('%d', span - age)
    local record = redis.call('HGET', hash, reservation.name)
    if record and string.sub(record, 14) == reservation.record then
      redis.call('HDEL', hash, reservation.name)
    end
  end
  redis.call('HDEL', inflight, reservation.field)
end
