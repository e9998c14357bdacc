-- Ends one delivery of a message: acknowledges it, dead-letters it, or replaces it
-- with its next run; and records what became of the job, in the same step.
-- Returns 0, and does nothing, if the message is no longer this worker's.
--
-- KEYS[1]  namespace
-- ARGV     queue, broker id, redis id, outcome (ack, dead, again), time in ms,
--          next queue, next redis id, next message,
--          job id, job fields (JSON), seconds to keep the job (0: for ever),
--          event (or ''), event body (JSON), greatest length of the event stream
local ns, queue, id, outcome = KEYS[1], ARGV[1], ARGV[3], ARGV[4]
local messages = ns .. ':' .. queue .. '.msgs'
if redis.call('srem', ns .. ':__acks__.' .. ARGV[2] .. '.' .. queue, id) == 0 then
  return 0
end
if outcome == 'dead' then
  local dead = ns .. ':' .. string.gsub(queue, '%.DQ$', '') .. '.XQ'
  local message = redis.call('hget', messages, id)
  if message then
    redis.call('zadd', dead, ARGV[5], id)
    redis.call('hset', dead .. '.msgs', id, message)
  end
end
redis.call('hdel', messages, id)
if outcome == 'again' then
  redis.call('hset', ns .. ':' .. ARGV[6] .. '.msgs', ARGV[7], ARGV[8])
  redis.call('rpush', ns .. ':' .. ARGV[6], ARGV[7])
end

if ARGV[9] ~= '' then
  local job = ns .. ':job:' .. ARGV[9]
  for field, value in pairs(cjson.decode(ARGV[10])) do
    redis.call('hset', job, field, value)
  end
  if ARGV[11] ~= '0' then
    redis.call('expire', job, ARGV[11])
  end
  if ARGV[12] ~= '' then
    redis.call('xadd', ns .. ':events', 'maxlen', '~', ARGV[14], '*',
      'event', ARGV[12], 'job', ARGV[9], 'at', ARGV[5], 'body', ARGV[13])
  end
end
return 1
