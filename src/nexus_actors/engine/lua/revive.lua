-- Lets dead letters wait again: at the end of their priority, as new.  One that is no
-- longer there, is not what was read, whose job is there again, or whose key another job
-- holds is left alone.
--
-- ARGV  queue, time, greatest length of the event stream; and for each letter its id,
--       the SHA-1 of what was read, job id, message of the next run
-- Returns how many wait again.
local queue, now, most = ARGV[1], ARGV[2], ARGV[3]
local revived = 0

local function revive(id, read_as, job, body)
  local letter = redis.call('hget', key(queue, '.XQ.msgs'), id)
  if not letter or redis.sha1hex(letter) ~= read_as then
    return false
  end
  local message = read(body)
  local holder = message.key ~= '' and holder_of(queue, message.key)
  if holder and holder ~= job
    or redis.call('hexists', SCHEDULE .. '.msgs', job) == 1
    or redis.call('hsetnx', key(queue, '.msgs'), job, body) == 0 then
    return false
  end
  unbury(queue, id)
  put(queue, job, message)
  keep_key(queue, message, now)
  tally(queue, 'enqueued::' .. message.actor, 1)
  if message.tracked then
    local record = ns .. ':job:' .. job
    redis.call('del', record)
    redis.call('hset', record, 'state', 'queued', 'actor', message.actor,
      'queue', queue, 'enqueued_at', message.sent_at)
    tell(most, 'job.enqueued', job, now, cjson.encode({
      actor = message.actor, queue = queue
    }))
  end
  return true
end

for at = 4, #ARGV, 4 do
  if revive(unpack(ARGV, at, at + 3)) then
    revived = revived + 1
  end
end
return revived
