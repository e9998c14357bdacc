-- Heeds what a vendor has said of a budget.
--
-- ARGV  time (ms), name; blocked until (ms) or ''; how many calls are left or '', and
--       until when (ms)
local now, key = tonumber(ARGV[1]), ns .. ':budgets:state:' .. ARGV[2]
local blocked, left, until_ms = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]) or now

even_if_full()
if left == 0 and until_ms > now then
  blocked = ARGV[5]
elseif left and until_ms > now then
  redis.call('hset', key, 'pace', string.format('%.3f', (until_ms - now) / left),
    'paced_until', ARGV[5])
end
if blocked ~= '' then
  local known = tonumber(redis.call('hget', key, 'blocked')) or 0
  redis.call('hset', key, 'blocked',
    string.format('%.0f', math.max(known, tonumber(blocked))))
end
local needed = math.max(tonumber(blocked) or now, until_ms) - now
if needed > redis.call('pttl', key) then
  redis.call('pexpire', key, string.format('%.0f', needed + 60000))
end
return 1
