-- Tells how many messages of a queue are where.
--
-- ARGV  queue
-- Returns JSON: how many wait of each priority, how many groups they are of, how many
-- are suspects, run, are scheduled, or are dead; whether the queue is paused; and since
-- when (ms) the message waits that is first of all lists, or of the next hundred groups
-- of a priority.
local queue = ARGV[1]
local MAX_GROUPS = 100
local waiting, groups = {}, 0

for priority = 0, 9 do
  local count = redis.call('llen', band(queue, priority))
  for _, group in ipairs(redis.call('zrange', ring_of(queue, priority), 0, -1)) do
    local length = group ~= '' and redis.call('llen', list_of(queue, priority, group)) or 0
    if length > 0 then
      count, groups = count + length, groups + 1
    end
  end
  if count > 0 then
    waiting[tostring(priority)] = count
  end
end

return cjson.encode({
  waiting = waiting,
  groups = groups,
  suspects = redis.call('llen', key(queue, '.suspects')),
  running = states.running(queue, redis.call('zrange', HEARTBEATS, 0, -1)),
  scheduled = states.delayed(queue),
  dead = redis.call('zcard', key(queue, '.XQ')),
  paused = redis.call('sismember', PAUSED, queue) == 1,
  since = states.waiting_since(queue, MAX_GROUPS),
})
