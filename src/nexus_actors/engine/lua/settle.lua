-- Ends one delivery of a message: acknowledges it, dead-letters it, or replaces it
-- with its next run; and records what became of the job, in the same step.
--
-- If the message is no longer this worker's, the first end counts: a success still
-- counts while the message waits for another worker, and nothing does after that.
--
-- ARGV  outcome (ack, dead, again), queue, worker, id, time, greatest length of the
--       event stream; next id, next message, its priority, its due time or '' (for
--       now); why it is dead (JSON); job id, or '' if it is not tracked, seconds to
--       keep the job (0: for ever), event (or ''), event body, job fields and values
-- Returns 1, or 0 if nothing was done.
local outcome, queue, worker, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, most = ARGV[5], ARGV[6]
local messages = key(queue, '.msgs')
if redis.call('srem', acks_of(worker, queue), id) == 0 then
  if outcome ~= 'ack' or not unlist(queue, id) then
    return 0
  end
end
if outcome == 'dead' then
  local body = redis.call('hget', messages, id)
  if body then
    bury(queue, id, body, now, ARGV[11])
  end
end
redis.call('hdel', messages, id)
redis.call('hdel', key(queue, '.tries'), id)
if outcome == 'again' then
  if ARGV[10] == '' then
    redis.call('hset', messages, ARGV[7], ARGV[8])
    put(queue, ARGV[7], ARGV[9])
  else
    schedule(ARGV[7], ARGV[10], ARGV[8])
  end
end

if ARGV[12] ~= '' then
  local job = ns .. ':job:' .. ARGV[12]
  if #ARGV > 15 then
    redis.call('hset', job, unpack(ARGV, 16))
  end
  if ARGV[13] ~= '0' then
    redis.call('expire', job, ARGV[13])
  end
  if ARGV[14] ~= '' then
    tell(most, ARGV[14], ARGV[12], now, ARGV[15])
  end
end
return 1
