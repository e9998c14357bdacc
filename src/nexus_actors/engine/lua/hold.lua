-- Lets a worker hold on to a message that it runs and Redis does not know it to run,
-- if it has not been given to another one in the meantime.
--
-- What Redis has forgotten altogether, with the record of its job, is stored again.
--
-- ARGV  worker, queue, id, time, message
-- Returns 1 if the message is the worker's, 0 if it is not, -1 if it cannot be: the
-- worker has lost its lease, and nobody would look after what it holds.
local worker, queue, id, now, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local acks = acks_of(worker, queue)
if is_unowned(worker) then
  return -1
end
if redis.call('sismember', acks, id) == 1 then
  return 1
end
if not unlist(queue, id) then
  local message = read(body)
  local record = ns .. ':job:' .. message.job
  if not message.tracked or redis.call('exists', record) == 1 then
    return 0
  end
  even_if_full()
  redis.call('hset', key(queue, '.msgs'), id, body)
  redis.call('hset', record, 'state', 'running', 'actor', message.actor,
    'queue', queue, 'attempt', message.attempt, 'enqueued_at', message.sent_at,
    'started_at', now)
  keep_key(queue, message, now)
end
redis.call('sadd', acks, id)
return 1
