-- Cancels a job: one that waits is taken away; one that runs is asked to end, which
-- holds for whoever runs it next, too.
--
-- ARGV  job id, time, greatest length of the event stream, seconds to keep a cancelled
--       job, queues that an untracked message may be in
-- Returns cancelled, asked, ended, untracked or unknown.
local job, now, most, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local state, actor, queue =
  unpack(redis.call('hmget', ns .. ':job:' .. job, 'state', 'actor', 'queue'))

local function is_untracked()
  if redis.call('hexists', SCHEDULE .. '.msgs', job) == 1 then
    return true
  end
  for at = 5, #ARGV do
    if redis.call('hexists', key(ARGV[at], '.msgs'), job) == 1 then
      return true
    end
  end
  return false
end

if not state then
  return is_untracked() and 'untracked' or 'unknown'
end
if state == 'succeeded' or state == 'dead' or state == 'cancelled' then
  return 'ended'
end
local body = redis.call('hget', SCHEDULE .. '.msgs', job)
if body then
  unschedule(queue, job)
elseif unlist(queue, job) then
  body = redis.call('hget', key(queue, '.msgs'), job)
  redis.call('hdel', key(queue, '.msgs'), job)
  redis.call('hdel', key(queue, '.tries'), job)
else
  redis.call('hset', CANCELS, job, keep)
  return 'asked'
end
cancel(read(body or '') or {
  job = job, actor = actor, queue = queue, key = '', tracked = true
}, now, most, keep)
return 'cancelled'
