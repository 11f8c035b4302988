-- Admission of one group: settle what earlier groups left to do, then limit, then reserve.
-- KEYS: 1 inflight hash, 2 accepted hash, 3 prefix of idempotency hashes, 4 prefix of client buckets, 5 prefix of
--   windows, 6 number of the caller's last applied entry
-- ARGV is one MessagePack array: {now, burst, per_millisecond, window_limit, window_milliseconds, ttl_milliseconds,
--   number of this entry (0 for none), commits {field, ...}, accepted {counter, count, ...}, client of each request
--   {...}, number of events of each request {...}, then for all events in order: keys {key, ...}, records {key, record,
--   ...}, entries {field, mark, ...}}. A record is the time (13 digits), the hash (32), and the field.
-- Answers MessagePack: for each request {0 admitted | 1 client | 2 global, remaining, wait in ms}, and unless all of its
--   events are new {for each event 0 new, 1 copy, 2 other payload}, {first ids of copies}.
-- Commands take many events at once, and no string is made for an event that is new: a command of its own for each
-- event costs three times as much.
local now, burst, per_millisecond, window_limit, window, ttl, number, commits, accepted,
  clients, counts, keys, records, entries = unpack(cmsgpack.unpack(ARGV[1]))
local call = redis.call

-- What one command takes; Lua's stack holds 8,000.
local MOST = 4000

local function fetch(hash, fields)
  if #fields == 0 then return {} end
  if #fields <= MOST then return call('HMGET', hash, unpack(fields)) end
  local found = {}
  for first = 1, #fields, MOST do
    for _, value in ipairs(call('HMGET', hash, unpack(fields, first, math.min(first + MOST - 1, #fields)))) do
      found[#found + 1] = value
    end
  end
  return found
end

local function enter(hash, pairs_of)
  for first = 1, #pairs_of, MOST do
    call('HSET', hash, unpack(pairs_of, first, math.min(first + MOST - 1, #pairs_of)))
  end
end

-- An entry whose answer was lost comes again with the same number: counting it twice would look like a loss.
if number > 0 and tonumber(call('GET', KEYS[6]) or 0) < number then
  call('SET', KEYS[6], string.format('%d', number), 'PX', 86400000)
  local committed = {}
  for place, entry in ipairs(fetch(KEYS[1], commits)) do
    -- One that is gone has been settled by a worker already: entered again, it would stay for ever.
    if entry then
      committed[#committed + 1] = commits[place]
      committed[#committed + 1] = 'c' .. string.sub(entry, 2)
    end
  end
  enter(KEYS[1], committed)
  for place = 1, #accepted, 2 do
    call('HINCRBY', KEYS[2], accepted[place], accepted[place + 1])
  end
end

local turn = math.floor(now / window)
local current_key = KEYS[5] .. string.format('%d', turn)
local used = call('MGET', current_key, KEYS[5] .. string.format('%d', turn - 1))
local elapsed = now - turn * window
local estimate = tonumber(used[2] or 0) * (1 - elapsed / window) + tonumber(used[1] or 0)
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

local answers = {}
for place, client in ipairs(clients) do
  local bucket = bucket_of(client)
  if bucket[1] < 1 then
    answers[place] = {1, 0, math.ceil((1 - bucket[1]) / per_millisecond)}
  elseif estimate + taken + 1 > window_limit then
    answers[place] = {2, math.floor(bucket[1]), math.ceil(window - elapsed)}
  else
    bucket[1] = bucket[1] - 1
    taken = taken + 1
    answers[place] = {0, math.floor(bucket[1]), 0}
  end
end

-- Redis drops a whole hash at once, so a record lies in the hash of the span of time in which it was made: two spans
-- make up its life. The server's clock says which span it is, because callers' clocks differ.
local clock = call('TIME')
local span = math.floor((clock[1] * 1000 + clock[2] / 1000) / (ttl / 2))
local function records_of(age) return KEYS[3] .. string.format('%d', span - age) end

local found = fetch(records_of(0), keys)
local earlier, oldest = fetch(records_of(1), keys), fetch(records_of(2), keys)
local is_plain = taken == #clients
for place = 1, #keys do
  local record = found[place] or earlier[place] or oldest[place]
  if record and now - tonumber(string.sub(record, 1, 13)) >= ttl then record = false end
  found[place] = record
  is_plain = is_plain and not record
end

-- The state of an event whose key has a record: 0 new after all, 1 copy, 2 other payload; and a copy's first id.
local function state_of(place)
  local record = found[place]
  if string.sub(record, 14, 45) ~= string.sub(records[2 * place], 14, 45) then return 2, '' end
  local entry = call('HGET', KEYS[1], string.sub(record, 46))
  -- Only reserved: nobody has been told that it was accepted, so this one is sent as well and takes the key.
  if entry and string.sub(entry, 1, 1) == 'p' then return 0, '' end
  return 1, string.match(record, '\n(.-)\n')
end

if not is_plain then
  local new_records, new_entries = {}, {}
  local event = 0
  for place, count in ipairs(counts) do
    local answer, states, firsts, are_new = answers[place], {}, {}, true
    for _ = 1, answer[1] == 0 and count or 0 do
      event = event + 1
      local state, first = 0, ''
      if found[event] then state, first = state_of(event) end
      states[#states + 1], firsts[#firsts + 1] = state, first
      are_new = are_new and state == 0
      if state == 0 then
        new_records[#new_records + 1], new_records[#new_records + 2] = records[2 * event - 1], records[2 * event]
        new_entries[#new_entries + 1], new_entries[#new_entries + 2] = entries[2 * event - 1], entries[2 * event]
      end
    end
    if answer[1] ~= 0 then event = event + count end
    if not are_new then answer[4], answer[5] = states, firsts end
  end
  records, entries = new_records, new_entries
end

if #records > 0 then
  enter(records_of(0), records)
  enter(KEYS[1], entries)
  call('PEXPIRE', records_of(0), 2 * ttl)
  -- Freed beside the other work, where an expiry of so many at once would hold it up.
  call('UNLINK', records_of(3))
end

for client, bucket in pairs(buckets) do
  call('HSET', KEYS[4] .. client, 'tokens', bucket[1], 'at', now)
  call('PEXPIRE', KEYS[4] .. client, math.ceil(burst / per_millisecond) + 1000)
end
if taken > 0 then
  call('INCRBY', current_key, taken)
  call('PEXPIRE', current_key, window * 2)
end
return cmsgpack.pack(answers)
