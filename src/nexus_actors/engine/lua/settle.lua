-- Ends one delivery of a message: acknowledges it, dead-letters it, or replaces it
-- with its next run; and records what became of the job, in the same step.
--
-- If the message is no longer this worker's, the first end counts: a success still
-- counts while the message waits for another worker, and nothing does after that.
--
-- ARGV  outcome (ack, dead, again), queue, worker, id, time, greatest length of the
--       event stream, '1' to take the next message of the queue in the same step, by
--       which worker, its name for people; what to count, each on a line; next id, next
--       message, the key that the job holds or '', due time or '' (for now); why it
--       is dead (JSON); and if it is tracked: job id, seconds to keep the job (0: for
--       ever), event (or ''), event body, job fields and values
-- Returns 1, or 0 if nothing was done; and what `take.some` returns.
local outcome, queue, worker, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, most = ARGV[5], ARGV[6]

local function settle()
  local messages = key(queue, '.msgs')
  if redis.call('srem', acks_of(worker, queue), id) == 0 then
    if outcome ~= 'ack' or not unlist(queue, id) then
      return false
    end
  end
  if outcome == 'dead' then
    local body = redis.call('hget', messages, id)
    if body then
      bury(queue, id, body, now, ARGV[15])
    end
  end
  redis.call('hdel', messages, id)
  redis.call('hdel', key(queue, '.tries'), id)
  local successor = outcome == 'again' and read(ARGV[12])
  if outcome == 'again' and is_cancelled(queue, id, successor, now, most) then
    return true
  end
  for what in string.gmatch(ARGV[10], '[^\n]+') do
    tally(queue, what, 1)
  end
  if outcome == 'again' then
    if ARGV[14] == '' then
      redis.call('hset', messages, ARGV[11], ARGV[12])
      put(queue, ARGV[11], successor)
    else
      schedule(queue, ARGV[11], ARGV[14], ARGV[12])
    end
    keep_key(queue, successor, now, ARGV[14])
  elseif ARGV[13] then
    release(queue, ARGV[13], id)
  end

  if ARGV[16] then
    local job = ns .. ':job:' .. ARGV[16]
    if outcome ~= 'again' then
      redis.call('hdel', CANCELS, ARGV[16])
    end
    if #ARGV > 19 then
      redis.call('hset', job, unpack(ARGV, 20))
    end
    if ARGV[17] ~= '0' then
      redis.call('expire', job, ARGV[17])
    end
    if ARGV[18] ~= '' then
      tell(most, ARGV[18], ARGV[16], now, ARGV[19])
    end
  end
  return true
end

local done = settle() and 1 or 0
if ARGV[7] ~= '1' or is_unowned(ARGV[8]) then
  return {done}
end
return {done, unpack(take.some(queue, ARGV[8], now, most, ARGV[9], 1))}
