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
    return redis.call('hlen', SCHEDULE .. '.msgs') - redis.call('zcard', SCHEDULE)
  end
  local found = 0
  for at = 3, #ARGV do
    if redis.call('hexists', SCHEDULE .. '.msgs', ARGV[at]) == 1 then
      found = found + redis.call('zadd', SCHEDULE, 'nx', now, ARGV[at])
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
  for _, worker in ipairs(workers) do
    places = places + redis.call('scard', acks_of(worker, queue))
  end
  return redis.call('hlen', key(queue, '.msgs')) - places
end

local function is_somewhere(id)
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
  return false
end

local found = 0
for at = 3, #ARGV do
  local body = redis.call('hget', key(queue, '.msgs'), ARGV[at])
  if body and not is_somewhere(ARGV[at]) then
    local message = read(body)
    put(queue, ARGV[at], message and message.priority or DEFAULT_PRIORITY)
    found = found + 1
  end
end
return found
