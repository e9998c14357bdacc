-- Moves what is due from the schedule to its queue, and what a stock producer has
-- delayed from its delay queue to the schedule.
--
-- ARGV  time, greatest length of the event stream, how many at most, queues
-- Returns how many were moved in all, and the next due time or ''.
local now, most, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local moved = 0

local function adopt(queue, id)
  local delayed = key(queue, '.DQ.msgs')
  local body = redis.call('hget', delayed, id)
  redis.call('hdel', delayed, id)
  local message = body and read(body)
  if message and message.id == id then
    schedule(queue, message.job, message.due, body)
    if message.tracked then
      redis.call('hset', ns .. ':job:' .. message.job, 'state', 'scheduled',
        'actor', message.actor, 'queue', queue, 'enqueued_at', message.sent_at)
    end
  elseif body then
    bury(queue, id, body, now, cjson.encode({
      reason = 'unreadable', at = tonumber(now), error = {
        type = 'InvalidRequestError', code = 'unreadable', retryable = false,
        message = 'what was in the queue is no message that a worker can read'
      }
    }))
    tally(queue, 'dead:rejected:other', 1)
  end
end

for at = 4, #ARGV do
  for _ = 1, limit do
    local id = redis.call('lpop', key(ARGV[at], '.DQ'))
    if not id then
      break
    end
    adopt(ARGV[at], id)
    moved = moved + 1
  end
end

local due = redis.call('zrangebyscore', SCHEDULE, '-inf', now, 'limit', 0, limit)
for _, job in ipairs(due) do
  local body = redis.call('hget', SCHEDULE .. '.msgs', job)
  local message = body and read(body)
  unschedule(message and message.queue or '', job)
  if message and redis.call('hsetnx', key(message.queue, '.msgs'), message.id, body) == 1 then
    put(message.queue, message.id, message)
    if message.tracked then
      redis.call('hset', ns .. ':job:' .. job, 'state', 'queued', 'queued_at', now)
    end
  end
  moved = moved + 1
end

local first = redis.call('zrange', SCHEDULE, 0, 0, 'withscores')
return {moved, first[2] or ''}
