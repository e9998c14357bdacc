-- Pauses a queue, of which nothing more is taken then, or resumes it.
--
-- ARGV  queue, '1' to pause it
-- Returns 1 if that changed anything.
local resumed = key(ARGV[1], '.resumed')
redis.call('del', resumed)
if ARGV[2] == '1' then
  return redis.call('sadd', PAUSED, ARGV[1])
end
if redis.call('srem', PAUSED, ARGV[1]) == 0 then
  return 0
end
for _ = 1, MAX_HINTS do -- wakes who waits now; who comes later looks anyway
  redis.call('rpush', resumed, '1')
end
redis.call('pexpire', resumed, 2000)
return 1
