-- Sends the message of a cron entry for one due time, if no worker has done so.
--
-- ARGV  entry, due time; time, greatest length of the event stream, what `store` calls
--       common; id, message, time of its making
-- Returns 0 if it was sent before, else what `store` does.
local last = redis.call('hget', ns .. ':__cron__', ARGV[1])
if last and tonumber(last) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('hset', ns .. ':__cron__', ARGV[1], ARGV[2])
local common = {unpack(ARGV, 5, #ARGV - 3)}
local stored = store(ARGV[3], ARGV[4], '', common, unpack(ARGV, #ARGV - 2))
if stored == 1 then
  tally(common[1], 'enqueued::' .. common[3], 1)
end
return stored
