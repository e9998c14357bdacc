-- Returns the messages of a worker that is dead, some at a time, and ends its lease
-- when none is left.  Their deliveries stay counted.
--
-- ARGV  worker, the last sign of life that was seen or '' (any other means that it
--       lives), time, greatest length of the event stream, how many messages at most,
--       '1' to end the lease, queues
-- Returns how many were returned, or -1 if the worker lives.
local worker, seen, now, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local left = tonumber(ARGV[5])
if seen ~= '' and redis.call('zscore', HEARTBEATS, worker) ~= seen then
  return -1
end

local function give_back(queue, id)
  local body = redis.call('hget', key(queue, '.msgs'), id)
  if not body then
    return
  end
  local message = read(body)
  if string.sub(queue, -3) == '.DQ' and message then -- a stock worker held it
    redis.call('hdel', key(queue, '.msgs'), id)
    schedule(message.queue, message.job, message.due, body)
    return
  end
  if is_cancelled(queue, id, message, now, most) then
    return
  end
  put(queue, id, message, true)
  if message and message.tracked then
    redis.call('hset', ns .. ':job:' .. message.job, 'state', 'queued')
    tell(most, 'job.recovered', message.job, now, cjson.encode({
      actor = message.actor, queue = message.queue
    }))
  end
end

local returned = 0
for at = 7, #ARGV do
  local acks = acks_of(worker, ARGV[at])
  local ids = left > 0 and redis.call('srandmember', acks, left) or {}
  for _, id in ipairs(ids) do
    redis.call('srem', acks, id)
    give_back(ARGV[at], id)
    returned, left = returned + 1, left - 1
  end
end
if left > 0 and ARGV[6] == '1' then
  redis.call('zrem', HEARTBEATS, worker)
  redis.call('hdel', ns .. ':__workers__', worker)
end
return returned
