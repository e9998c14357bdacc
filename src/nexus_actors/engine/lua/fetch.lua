-- Takes messages for a worker that is free to run them at once: counts the delivery,
-- and records that the job runs.
--
-- One that was delivered twice without an end is put among the suspects; a worker
-- takes such a one alone (`reserve`, and `begin` when nothing else runs in it).  One
-- that was delivered three times is a dead letter.
--
-- ARGV  mode (some, reserve, begin), queue, worker, time, greatest length of the event
--       stream, name of the worker for people; how many, or the id for `begin`
-- Returns nil if the worker has lost its lease; else what `take.some` returns.
local mode, queue, worker, now, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local acks = acks_of(worker, queue)
if is_unowned(worker) then
  return nil
end

if mode == 'some' then
  return take.some(queue, worker, now, most, ARGV[6], tonumber(ARGV[7]))
end

local is_paused = redis.call('sismember', PAUSED, queue) == 1
if mode == 'reserve' then
  if is_paused then
    return {-1}
  end
  local id = redis.call('lpop', key(queue, '.suspects'))
  local body = id and redis.call('hget', key(queue, '.msgs'), id)
  if not body then
    return {0}
  end
  redis.call('sadd', acks, id)
  return {0, id, body, MAX_DELIVERIES - 1}
end

local id = ARGV[7]
local body = redis.call('hget', key(queue, '.msgs'), id)
if not body or redis.call('sismember', acks, id) == 0 then
  return {0}
end
if is_paused then
  redis.call('srem', acks, id)
  redis.call('lpush', key(queue, '.suspects'), id)
  return {-1}
end
take.started(read(body), now, most, ARGV[6])
return {0, id, body, redis.call('hincrby', key(queue, '.tries'), id, 1)}
