-- Counts one kind of a tenant in an hour. `prefix` is that of the ledger's keys. Fields of an hour are made within that
-- hour, or soon after, so renewing its expiry with each new field is enough.
-- Stands before the scripts that count, after the constants TENANTS_AN_HOUR and PERIOD_MILLISECONDS.
local function count(prefix, hour, tenant, kind, number)
  local key = prefix .. hour
  if tenant ~= '' and redis.call('SISMEMBER', key .. ':tenants', tenant) == 0 then
    if redis.call('SCARD', key .. ':tenants') < TENANTS_AN_HOUR then
      redis.call('SADD', key .. ':tenants', tenant)
      redis.call('PEXPIRE', key .. ':tenants', PERIOD_MILLISECONDS)
    else
      tenant = ''
    end
  end
  if redis.call('HINCRBY', key, tenant .. '\n' .. kind, number) == tonumber(number) then
    redis.call('PEXPIRE', key, PERIOD_MILLISECONDS)
  end
  redis.call('HINCRBY', prefix .. 'totals', kind, number)
end
