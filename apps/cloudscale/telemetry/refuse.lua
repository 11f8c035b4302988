-- Counts refusals of one hour, within bounds that hold for all processes together.
-- KEYS: 1 hash of counts by group, 2 hash of the newest sample by group
-- ARGV: 1 most groups, 2 most samples, 3 seconds to keep both, then for each group four: its name, the number of
--   refusals, a sample or nothing, and the name of the group that takes it when there are too many
local counts, samples = KEYS[1], KEYS[2]
local most_groups, most_samples, seconds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
local groups, kept = call('HLEN', counts), call('HLEN', samples)
for index = 4, #ARGV, 4 do
  local group, number, sample = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  if call('HEXISTS', counts, group) == 0 then
    if groups < most_groups then
      groups = groups + 1
    else
      -- There are few of these: one for each status and reason.
      group, sample = ARGV[index + 3], ''
    end
  end
  call('HINCRBY', counts, group, number)
  if sample ~= '' and (kept < most_samples or call('HEXISTS', samples, group) == 1) then
    kept = kept + call('HSET', samples, group, sample)
  end
end
call('EXPIRE', counts, seconds)
call('EXPIRE', samples, seconds)
