-- Stores a message, puts it on its queue and records its job, in one step.
-- Returns 0, and does nothing, for a new message whose job is known: it was sent again
-- since nobody could tell whether it had arrived.  One that has failed may run again.
-- The queue's keys are dramatiq's own, so that stock tools and workers read them.
--
-- KEYS[1]  namespace
-- ARGV     queue, redis id, message, job id, job fields (JSON), event (or ''),
--          event body (JSON), time in ms, greatest length of the event stream
local ns, queue, id = KEYS[1], ARGV[1], ARGV[2]
local job = ns .. ':job:' .. ARGV[4]
if ARGV[6] ~= '' then
  local state = redis.call('hget', job, 'state')
  if state and state ~= 'dead' and state ~= 'cancelled' then
    return 0
  end
end
redis.call('hset', ns .. ':' .. queue .. '.msgs', id, ARGV[3])
redis.call('rpush', ns .. ':' .. queue, id)

for field, value in pairs(cjson.decode(ARGV[5])) do
  redis.call('hset', job, field, value)
end
redis.call('persist', job)
redis.call('hdel', job, 'finished_at')
if ARGV[6] ~= '' then
  redis.call('xadd', ns .. ':events', 'maxlen', '~', ARGV[9], '*',
    'event', ARGV[6], 'job', ARGV[4], 'at', ARGV[8], 'body', ARGV[7])
end
return 1
