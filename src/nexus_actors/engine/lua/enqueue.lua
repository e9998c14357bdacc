-- Stores a message, puts it on its queue and records its job, in one step.
-- The queue's keys are dramatiq's own, so that stock tools and workers read them.
--
-- KEYS[1]  namespace
-- ARGV     queue, redis id, message, job id, job fields (JSON), event (or ''),
--          event body (JSON), time in ms, greatest length of the event stream
local ns, queue, id = KEYS[1], ARGV[1], ARGV[2]
redis.call('hset', ns .. ':' .. queue .. '.msgs', id, ARGV[3])
redis.call('rpush', ns .. ':' .. queue, id)

local job = ns .. ':job:' .. ARGV[4]
for field, value in pairs(cjson.decode(ARGV[5])) do
  redis.call('hset', job, field, value)
end
redis.call('persist', job)
if ARGV[6] ~= '' then
  redis.call('xadd', ns .. ':events', 'maxlen', '~', ARGV[9], '*',
    'event', ARGV[6], 'job', ARGV[4], 'at', ARGV[8], 'body', ARGV[7])
end
return 1
