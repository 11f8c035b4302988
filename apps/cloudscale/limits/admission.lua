-- Admission of one group: settle what earlier groups left to do, then limit, then reserve.
-- KEYS: 1 inflight hash, 2 accepted hash, 3 prefix of idempotency keys, 4 prefix of client buckets, 5 prefix of windows,
--   6 number of the caller's last applied entry
-- ARGV is one MessagePack array: {now, burst, per_millisecond, window_limit, window_milliseconds, ttl_milliseconds,
--   number of this entry (0 for none), commits {field, ...}, accepted {counter, count, ...},
--   requests {{client, {key, hash, field, ...}}, ...}}
-- Answers MessagePack: for each request {0 admitted | 1 client | 2 global, remaining, wait in ms}, and unless all of its
--   events are new {for each event 0 new, 1 copy, 2 other payload}, {first ids of copies}.
local now, burst, per_millisecond, window_limit, window, ttl, number, commits, accepted, requests =
  unpack(cmsgpack.unpack(ARGV[1]))
local call = redis.call

-- An entry whose answer was lost comes again with the same number: counting it twice would look like a loss.
if number > 0 and tonumber(call('GET', KEYS[6]) or 0) < number then
  call('SET', KEYS[6], string.format('%d', number), 'PX', 86400000)
  for first = 1, #commits, 1000 do
    local last = math.min(first + 999, #commits)
    local entries = {}
    for place, entry in ipairs(call('HMGET', KEYS[1], unpack(commits, first, last))) do
      -- One that is gone has been settled by a worker already: entered again, it would stay for ever.
      if entry then
        entries[#entries + 1] = commits[first + place - 1]
        entries[#entries + 1] = 'c' .. string.sub(entry, 2)
      end
    end
    if #entries > 0 then call('HSET', KEYS[1], unpack(entries)) end
  end
  for place = 1, #accepted, 2 do
    call('HINCRBY', KEYS[2], accepted[place], accepted[place + 1])
  end
end

local turn = math.floor(now / window)
local current_key = KEYS[5] .. string.format('%d', turn)
local counts = call('MGET', current_key, KEYS[5] .. string.format('%d', turn - 1))
local elapsed = now - turn * window
local used = tonumber(counts[1] or 0)
local estimate = tonumber(counts[2] or 0) * (1 - elapsed / window) + used
local taken = 0
local buckets = {}

local function bucket_of(client)
  local bucket = buckets[client]
  if not bucket then
    local stored = call('HMGET', KEYS[4] .. client, 'tokens', 'at')
    local tokens, at = tonumber(stored[1] or burst), tonumber(stored[2] or now)
    bucket = {math.min(burst, tokens + math.max(0, now - at) * per_millisecond)}
    buckets[client] = bucket
  end
  return bucket
end

local reserved = {}
local mark = 'p' .. string.format('%d', now)

local function enter_reserved()
  for first = 1, #reserved, 1000 do
    call('HSET', KEYS[1], unpack(reserved, first, math.min(first + 999, #reserved)))
  end
  reserved = {}
end

-- Reserves the events of one request; the states and first ids of its answer, or nothing if all are new.
local function reserve(events)
  local states, firsts
  for place = 1, #events, 3 do
    local key, hash, field = KEYS[3] .. events[place], events[place + 1], events[place + 2]
    local state, first = 0, ''
    if not call('SET', key, hash .. field, 'NX', 'PX', ttl) then
      enter_reserved()
      local found = call('GET', key)
      local entry = call('HGET', KEYS[1], string.sub(found, 33))
      if string.sub(found, 1, 32) ~= hash then
        state = 2
      elseif entry and string.sub(entry, 1, 1) == 'p' then
        -- Only reserved: nobody has been told that it was accepted, so this one is sent as well and takes the key.
        call('SET', key, hash .. field, 'PX', ttl)
      else
        state, first = 1, string.match(found, '\n(.-)\n')
      end
    end
    if state == 0 then
      reserved[#reserved + 1] = field
      reserved[#reserved + 1] = mark
    elseif not states then
      states, firsts = {}, {}
      for earlier = 1, place - 1, 3 do
        states[#states + 1], firsts[#firsts + 1] = 0, ''
      end
    end
    if states then
      states[#states + 1], firsts[#firsts + 1] = state, first
    end
  end
  return states, firsts
end

local answers = {}
for place, request in ipairs(requests) do
  local bucket = bucket_of(request[1])
  if bucket[1] < 1 then
    answers[place] = {1, 0, math.ceil((1 - bucket[1]) / per_millisecond)}
  elseif estimate + taken + 1 > window_limit then
    answers[place] = {2, math.floor(bucket[1]), math.ceil(window - elapsed)}
  else
    bucket[1] = bucket[1] - 1
    taken = taken + 1
    local states, firsts = reserve(request[2])
    answers[place] = {0, math.floor(bucket[1]), 0, states, firsts}
  end
end
enter_reserved()

for client, bucket in pairs(buckets) do
  call('HSET', KEYS[4] .. client, 'tokens', bucket[1], 'at', now)
  call('PEXPIRE', KEYS[4] .. client, math.ceil(burst / per_millisecond) + 1000)
end
if taken > 0 then
  call('INCRBY', current_key, taken)
  call('PEXPIRE', current_key, window * 2)
end
return cmsgpack.pack(answers)
