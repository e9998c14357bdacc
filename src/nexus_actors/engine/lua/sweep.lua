-- Finds messages that are stored and in no place: nothing here leaves such, but a hand
-- that deleted a key does, or a Redis that throws keys away.  They are let wait.
--
-- ARGV  queue, or '' for the schedule; time; ids to look at
-- Returns, without ids, by how many there are more messages than places; else how many
-- were let wait.
local queue, now = ARGV[1], ARGV[2]
if #ARGV > 2 then
  even_if_full()
end
if queue == '' then
  if #ARGV == 2 then
    local missing = redis.call('hlen', SCHEDULE .. '.msgs') - redis.call('zcard', SCHEDULE)
    local of_queues, others = redis.call('zcard', SCHEDULE), redis.call('smembers', QUEUES)
    for _, each in ipairs(others) do
      of_queues = of_queues - redis.call('zcard', SCHEDULE .. ':' .. each)
    end
    if of_queues < 0 then -- some are gone: those that are left are told again
      for _, each in ipairs(others) do
        redis.call('del', SCHEDULE .. ':' .. each)
      end
    end
    return math.max(missing, math.abs(of_queues))
  end
  local found = 0
  for at = 3, #ARGV do
    local body = redis.call('hget', SCHEDULE .. '.msgs', ARGV[at])
    if body then
      found = found + redis.call('zadd', SCHEDULE, 'nx', now, ARGV[at])
      local message = read(body)
      if message then
        local due = redis.call('zscore', SCHEDULE, ARGV[at])
        redis.call('zadd', SCHEDULE .. ':' .. message.queue, due, ARGV[at])
        redis.call('sadd', QUEUES, message.queue)
      end
    end
  end
  return found
end

local lists = {key(queue), key(queue, '.suspects')}
for priority = 0, 9 do
  if priority ~= DEFAULT_PRIORITY then
    lists[#lists + 1] = key(queue, '.p' .. priority)
  end
end
local workers = redis.call('zrange', HEARTBEATS, 0, -1)

if #ARGV == 2 then
  local places = 0
  for _, list in ipairs(lists) do
    places = places + redis.call('llen', list)
  end
  for priority = 0, 9 do
    for _, group in ipairs(redis.call('zrange', ring_of(queue, priority), 0, -1)) do
      if group ~= '' then
        places = places + redis.call('llen', list_of(queue, priority, group))
      end
    end
  end
  for _, worker in ipairs(workers) do
    places = places + redis.call('scard', acks_of(worker, queue))
  end
  return redis.call('hlen', key(queue, '.msgs')) - places
end

local function is_somewhere(id, message)
  for _, worker in ipairs(workers) do
    if redis.call('sismember', acks_of(worker, queue), id) == 1 then
      return true
    end
  end
  for _, list in ipairs(lists) do
    if redis.call('lpos', list, id) then
      return true
    end
  end
  if message and message.group ~= '' then
    local list = list_of(queue, message.priority, message.group)
    if redis.call('lpos', list, id) then
      let_in(queue, message.priority, message.group)
      return true
    end
  end
  return false
end

local found = 0
for at = 3, #ARGV do
  local body = redis.call('hget', key(queue, '.msgs'), ARGV[at])
  local message = body and read(body)
  if body and not is_somewhere(ARGV[at], message) then
    put(queue, ARGV[at], message)
    found = found + 1
  end
end
return found
