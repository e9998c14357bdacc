-- Tells how many messages of a queue are where.
--
-- ARGV  queue
-- Returns JSON: how many wait of each priority, how many groups they are of, how many
-- are suspects, run, were delayed by a stock producer, or are dead; whether the queue is
-- paused; and since when (ms) the message waits that is first of all lists, or of the
-- next hundred groups of a priority.
local queue = ARGV[1]
local MAX_GROUPS = 100
local waiting, groups, since = {}, 0, nil

local function look_at_first(list)
  local id = redis.call('lindex', list, 0)
  local body = id and redis.call('hget', key(queue, '.msgs'), id)
  local message = body and read(body)
  if message then
    local record = ns .. ':job:' .. message.job
    local queued = message.tracked and redis.call('hget', record, 'queued_at')
    since = math.min(since or math.huge, tonumber(queued or message.sent_at))
  end
end

for priority = 0, 9 do
  local list = band(queue, priority)
  local count = redis.call('llen', list)
  look_at_first(list)
  local ring = redis.call('zrange', ring_of(queue, priority), 0, -1)
  for turn, group in ipairs(ring) do
    local length = group ~= '' and redis.call('llen', list_of(queue, priority, group)) or 0
    if length > 0 then
      count, groups = count + length, groups + 1
      if turn <= MAX_GROUPS then
        look_at_first(list_of(queue, priority, group))
      end
    end
  end
  if count > 0 then
    waiting[tostring(priority)] = count
  end
end
look_at_first(key(queue, '.suspects'))

local running = 0
for _, worker in ipairs(redis.call('zrange', HEARTBEATS, 0, -1)) do
  running = running + redis.call('scard', acks_of(worker, queue))
end
return cjson.encode({
  waiting = waiting,
  groups = groups,
  suspects = redis.call('llen', key(queue, '.suspects')),
  running = running,
  delayed = redis.call('hlen', key(queue, '.DQ.msgs')),
  dead = redis.call('zcard', key(queue, '.XQ')),
  paused = redis.call('sismember', PAUSED, queue) == 1,
  since = since,
})
