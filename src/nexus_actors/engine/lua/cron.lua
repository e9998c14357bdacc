-- Sends the message of a cron entry for one due time, if no worker has done so.
--
-- ARGV  entry, due time, and what `store` takes
-- Returns 1 if this call has sent it.
local last = redis.call('hget', ns .. ':__cron__', ARGV[1])
if last and tonumber(last) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('hset', ns .. ':__cron__', ARGV[1], ARGV[2])
return store(unpack(ARGV, 3))
