-- Admission of one group: settle what earlier groups left to do, then limit, then reserve.
-- After count.lua.
-- KEYS: 1 inflight hash, 2 prefix of the ledger's keys, 3 prefix of idempotency hashes, 4 prefix of client buckets,
--   5 prefix of windows, 6 number of the caller's last applied entry, 7 prefix of the sets of unnamed events that ended
-- ARGV is one MessagePack map, whose parts have the names of the structs that the caller encodes:
--   now and time_to_live in milliseconds
--   rates: client, key and tenant, each {burst, per_second, events_burst, events_per_second}; window_limit,
--     window_milliseconds, global_events_burst, global_events_per_second
--   entry: number (0 for none), commits {field, ...}, unnamed {hour, field, value, ...}, accepted {hour, tenant, kind,
--     number, ...}
--   requests: clients {client of each request, or ''}, keys and tenants {of each request, or ''} (none if no request has
--     one), budgets {tenant, or 'key ' and a key = its own budget, ...}, counts {number of events of each request}, names_of_events {number of
--     names of each event} (none if each has one), and for all events in order names {name, ...}, records {name, record,
--     ...}, entries {field, mark, ...}. A record is the time (13 digits), the hash (32), and the field. An event is
--     reserved under all of its names or none.
-- Answers MessagePack: for each request {0 admitted | 1 client | 2 global | 3 client's events | 4 all events | 5 key |
--   6 key's events | 7 tenant | 8 tenant's events, requests that are left at the least, wait in ms, whose they are: 0
--   client, 1 key, 2 tenant}, and unless all of its events are new {for each event 0 new, 1 duplicate, 2 conflict}, {first
--   ids of duplicates}.
-- Commands take many events at once, and no string is made for an event that is new: a command of its own for each
-- event costs three times as much.
local asked = cmsgpack.unpack(ARGV[1])
local now, ttl, rates, entry, requests = asked.now, asked.time_to_live, asked.rates, asked.entry, asked.requests
local window_limit, window = rates.window_limit, rates.window_milliseconds
local all_events_burst, all_events_per_millisecond = rates.global_events_burst, rates.global_events_per_second / 1000
local number, commits, unnamed, accepted = entry.number, entry.commits, entry.unnamed, entry.accepted
local clients, counts, names_of_events = requests.clients, requests.counts, requests.names_of_events
local keys, tenants, budgets = requests.keys, requests.tenants, requests.budgets
local names, records, entries = requests.names, requests.records, requests.entries
local inflight, ledger, idempotency, client_buckets, windows, applied, unnamed_ended = unpack(KEYS)
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
if number > 0 and tonumber(call('GET', applied) or 0) < number then
  call('SET', applied, string.format('%d', number), 'PX', 86400000)
  local committed = {}
  for place, entry in ipairs(fetch(inflight, commits)) do
    -- One that is gone has been settled by a worker already: entered again, it would stay for ever.
    if entry then
      committed[#committed + 1] = commits[place]
      committed[#committed + 1] = 'c' .. string.sub(entry, 2)
    end
  end
  enter(inflight, committed)
  -- What was accepted while Redis was away is entered now, unless a worker has settled it already.
  local entered = {}
  for place = 1, #unnamed, 3 do
    if call('SISMEMBER', unnamed_ended .. unnamed[place], unnamed[place + 1]) == 0 then
      entered[#entered + 1] = unnamed[place + 1]
      entered[#entered + 1] = unnamed[place + 2]
    end
  end
  enter(inflight, entered)
  for place = 1, #accepted, 4 do
    count(ledger, accepted[place], accepted[place + 1], accepted[place + 2], accepted[place + 3])
  end
end

local turn = math.floor(now / window)
local current_key = windows .. string.format('%d', turn)
local used = call('MGET', current_key, windows .. string.format('%d', turn - 1))
local elapsed = now - turn * window
local estimate = tonumber(used[2] or 0) * (1 - elapsed / window) + tonumber(used[1] or 0)
local taken, taken_events = 0, 0
local buckets = {}

-- The requests and events that are left of one name, with its budget.
local function bucket_of(name, budget)
  local bucket = buckets[name]
  if not bucket then
    local stored = call('HMGET', client_buckets .. name, 'tokens', 'at', 'events')
    local seconds = math.max(0, now - tonumber(stored[2] or now)) / 1000
    bucket = {
      requests = math.min(budget[1], tonumber(stored[1] or budget[1]) + seconds * budget[2]),
      events = math.min(budget[3], tonumber(stored[3] or budget[3]) + seconds * budget[4]),
      budget = budget,
    }
    buckets[name] = bucket
  end
  return bucket
end

-- The buckets that a request is taken from, and for each its holder. No address has a space.
local function buckets_of(place)
  local found, holders = {}, {}
  local client, key, tenant = clients[place], keys[place] or '', tenants[place] or ''
  if client ~= '' then found[1], holders[1] = bucket_of(client, rates.client), 0 end
  if key ~= '' then found[#found + 1], holders[#found + 1] = bucket_of('key ' .. key, budgets['key ' .. key] or rates.key), 1 end
  if tenant ~= '' then
    found[#found + 1], holders[#found + 1] = bucket_of('tenant ' .. tenant, budgets[tenant] or rates.tenant), 2
  end
  return found, holders
end

-- By holder, the answers that mean too many requests, and too many events.
local TOO_MANY_REQUESTS, TOO_MANY_EVENTS = {[0] = 1, 5, 7}, {[0] = 3, 6, 8}
local HOLDER_REFUSED = {[1] = 0, [5] = 1, [7] = 2}

local function fewest(found, holders)
  local least, holder = 1000000000, 0
  for place, bucket in ipairs(found) do
    if bucket.requests < least then least, holder = bucket.requests, holders[place] end
  end
  return math.floor(least), holder
end

local all_events_key = windows .. 'events'
local stored_events = call('HMGET', all_events_key, 'tokens', 'at')
local all_events = math.min(all_events_burst, tonumber(stored_events[1] or all_events_burst)
  + math.max(0, now - tonumber(stored_events[2] or now)) * all_events_per_millisecond)

-- What the limits say to a request with so many events: the answer, and the wait in milliseconds.
local function limit(found, holders, events_of_it)
  for place, bucket in ipairs(found) do
    if bucket.requests < 1 then
      return TOO_MANY_REQUESTS[holders[place]], math.ceil((1 - bucket.requests) / bucket.budget[2] * 1000)
    end
  end
  for place, bucket in ipairs(found) do
    if bucket.events < events_of_it then
      return TOO_MANY_EVENTS[holders[place]], math.ceil((events_of_it - bucket.events) / bucket.budget[4] * 1000)
    end
  end
  if estimate + taken + 1 > window_limit then return 2, math.ceil(window - elapsed) end
  if all_events < events_of_it then return 4, math.ceil((events_of_it - all_events) / all_events_per_millisecond) end
  return 0, 0
end

-- One that is refused for its events was read before they could be counted, so it costs a request: of many, most are
-- refused unread.
local COSTS_A_REQUEST = {[0] = true, [3] = true, [4] = true, [6] = true, [8] = true}

local answers = {}
for place = 1, #clients do
  local events_of_it = counts[place]
  local found, holders = buckets_of(place)
  local said, wait = limit(found, holders, events_of_it)
  if COSTS_A_REQUEST[said] then
    for _, bucket in ipairs(found) do bucket.requests = bucket.requests - 1 end
  end
  if said == 0 then
    for _, bucket in ipairs(found) do bucket.events = bucket.events - events_of_it end
    all_events, taken_events = all_events - events_of_it, taken_events + events_of_it
    taken = taken + 1
  end
  local least, holder = fewest(found, holders)
  if HOLDER_REFUSED[said] then least, holder = 0, HOLDER_REFUSED[said] end
  answers[place] = {said, least, wait, holder}
end

-- Redis drops a whole hash at once, so a record lies in the hash of the span of time in which it was made: two spans
-- make up its life. The server's clock says which span it is, because callers' clocks differ.
local clock = call('TIME')
local span = math.floor((clock[1] * 1000 + clock[2] / 1000) / (ttl / 2))
local function records_of(age) return idempotency .. string.format('%d', span - age) end

local found = fetch(records_of(0), names)
local earlier, oldest = fetch(records_of(1), names), fetch(records_of(2), names)
local is_plain = taken == #clients
for place = 1, #names do
  local record = found[place] or earlier[place] or oldest[place]
  if record and now - tonumber(string.sub(record, 1, 13)) >= ttl then record = false end
  found[place] = record
  is_plain = is_plain and not record
end

-- What a name's record says of its event: 0 new after all, 1 duplicate, 2 conflict; and a duplicate's first id.
local function state_of(place)
  local record = found[place]
  if string.sub(record, 14, 45) ~= string.sub(records[2 * place], 14, 45) then return 2, '' end
  local entry = call('HGET', inflight, string.sub(record, 46))
  -- Only reserved: nobody has been told that it was accepted, so this one is sent as well and takes the name.
  if entry and string.sub(entry, 1, 1) == 'p' then return 0, '' end
  return 1, string.match(record, '\n(.-)\n')
end

-- The strongest that any of an event's names says.
local function state_of_event(first, last)
  local state, id = 0, ''
  for place = first, last do
    if found[place] then
      local said, first_id = state_of(place)
      if said > state then state, id = said, first_id end
    end
  end
  return state, id
end

if not is_plain then
  local new_records, new_entries = {}, {}
  local event, last = 0, 0
  for place, count in ipairs(counts) do
    local answer, states, firsts, are_new = answers[place], {}, {}, true
    for _ = 1, answer[1] == 0 and count or 0 do
      event = event + 1
      local name = last + 1
      last = last + (names_of_events[event] or 1)
      local state, first = state_of_event(name, last)
      states[#states + 1], firsts[#firsts + 1] = state, first
      are_new = are_new and state == 0
      if state == 0 then
        for place = 2 * name - 1, 2 * last do new_records[#new_records + 1] = records[place] end
        new_entries[#new_entries + 1], new_entries[#new_entries + 2] = entries[2 * event - 1], entries[2 * event]
      end
    end
    if answer[1] ~= 0 then
      for _ = 1, count do
        event = event + 1
        last = last + (names_of_events[event] or 1)
      end
    end
    if not are_new then answer[5], answer[6] = states, firsts end
  end
  records, entries = new_records, new_entries
end

if #records > 0 then
  enter(records_of(0), records)
  enter(inflight, entries)
  call('PEXPIRE', records_of(0), 2 * ttl)
  -- Freed beside the other work, where an expiry of so many at once would hold it up.
  call('UNLINK', records_of(3))
end

-- A bucket that would be full again need not be kept.
for name, bucket in pairs(buckets) do
  local budget = bucket.budget
  local full_milliseconds = math.ceil(math.max(budget[1] / budget[2], budget[3] / budget[4]) * 1000) + 1000
  call('HSET', client_buckets .. name, 'tokens', bucket.requests, 'at', now, 'events', bucket.events)
  call('PEXPIRE', client_buckets .. name, full_milliseconds)
end
if taken > 0 then
  call('INCRBY', current_key, taken)
  call('PEXPIRE', current_key, window * 2)
end
if taken_events > 0 then
  call('HSET', all_events_key, 'tokens', all_events, 'at', now)
  call('PEXPIRE', all_events_key, math.ceil(all_events_burst / all_events_per_millisecond) + 1000)
end
return cmsgpack.pack(answers)
