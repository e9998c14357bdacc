-- Tells what every queue is like at one instant, for the metrics.  The states of a queue
-- add up to its messages; nothing here takes longer where there are more of them.
--
-- ARGV  time
-- Returns JSON: what the queues are like, by name; how old the oldest sign of life of
-- our workers is, in ms, or none if there are no workers; and how often what has
-- happened, by queue.
local now = tonumber(ARGV[1])
local MAX_GROUPS = 4
-- Plain dramatiq leaves the name of every process that ever was: those of an hour count.
local STOCK = 3600000

local found, counts, oldest = {}, {}, nil
local names, running_of, ours = {}, {}, {}

local function meet(queue)
  if not found[queue] then
    names[#names + 1] = queue
    found[queue] = {workers = 0, busy = 0, idle = 0}
  end
  return found[queue]
end

for _, set in ipairs({QUEUES, PAUSED, ns .. ':__dead__'}) do
  for _, queue in ipairs(redis.call('smembers', set)) do
    meet(queue)
  end
end

local workers = redis.call('hgetall', ns .. ':__workers__')
for at = 1, #workers, 2 do
  local worker, about = workers[at], cjson.decode(workers[at + 1])
  local sign = tonumber(redis.call('zscore', HEARTBEATS, worker) or nil)
  local age = now - (sign or now)
  local lives = sign and age < about.timeout_s * 1000
  local running = 0
  ours[worker], oldest = true, math.max(oldest or 0, age)
  for _, queue in ipairs(about.queues) do
    local here = states.running(queue, {worker})
    running, running_of[queue] = running + here, (running_of[queue] or 0) + here
    if lives then
      meet(queue).busy = meet(queue).busy + here
    end
  end
  for _, queue in ipairs(lives and about.queues or {}) do
    local told = meet(queue)
    told.workers = told.workers + 1
    told.idle = told.idle + math.max(0, (about.threads or 0) - running)
  end
end

local stock = {}
for _, worker in ipairs(redis.call('zrangebyscore', HEARTBEATS, now - STOCK, '+inf')) do
  if not ours[worker] then
    stock[#stock + 1] = worker
  end
end

for _, queue in ipairs(names) do
  local told, letters = found[queue], key(queue, '.XQ')
  local stored = redis.call('hlen', key(queue, '.msgs'))
  local running = (running_of[queue] or 0) + states.running(queue, stock)
  told.in_flight = math.min(stored, running)
  told.ready = stored - told.in_flight
  told.delayed = states.delayed(queue)
  told.dead = redis.call('zcard', letters)
  told.paused = redis.call('sismember', PAUSED, queue)
  told.since = told.ready > 0 and states.waiting_since(queue, MAX_GROUPS) or nil
  told.due = tonumber(redis.call('zrange', SCHEDULE .. ':' .. queue, 0, 0, 'withscores')[2])
  told.died = tonumber(redis.call('zrange', letters, 0, 0, 'withscores')[2])
  local counted = redis.call('hgetall', ns .. ':__counts__:' .. queue)
  counts[queue] = #counted > 0 and counted or nil
end
return cjson.encode({queues = found, oldest = oldest, counts = counts})
