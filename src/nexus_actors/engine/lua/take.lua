-- How a worker takes messages; for the scripts that do so.
local take = {}

-- Records that a job runs; *name* is the worker's for people.
function take.started(message, now, most, name)
  if not message or not message.tracked then
    return
  end
  redis.call('hset', ns .. ':job:' .. message.job, 'state', 'running',
    'actor', message.actor, 'queue', message.queue, 'attempt', message.attempt,
    'enqueued_at', message.sent_at, 'started_at', now, 'worker', name)
  tell(most, 'job.started', message.job, now, cjson.encode({
    actor = message.actor, queue = message.queue, attempt = tonumber(message.attempt)
  }))
end

-- How long a worker keeps the records of jobs that have ended, in seconds.
local function keep_of(worker)
  local about = redis.call('hget', ns .. ':__workers__', worker)
  return about and cjson.decode(about).job_ttl_s
end

local function poisoned(queue, id, body, now, most, keep)
  local why = cjson.encode({
    type = 'RejectedError', code = 'poison', retryable = false,
    message = 'its worker died ' .. MAX_DELIVERIES .. ' times while it ran'
  })
  bury(queue, id, body, now, cjson.encode({
    reason = 'poison', at = tonumber(now), error = cjson.decode(why)
  }))
  local message = read(body)
  tally(queue, 'dead:poison:' .. (message and message.actor or 'other'), 1)
  if message and message.tracked then
    redis.call('hset', ns .. ':job:' .. message.job, 'state', 'dead',
      'finished_at', now, 'error', why)
    redis.call('hdel', CANCELS, message.job)
    if keep then
      redis.call('expire', ns .. ':job:' .. message.job, keep)
    end
    tell(most, 'job.dead', message.job, now, cjson.encode({
      actor = message.actor, queue = message.queue, error = cjson.decode(why)
    }))
  end
end

-- The bands from the most urgent on; every 20th pop begins with the least urgent, and
-- every 20th with each of them in turn, so that none starves.
local function order(queue, bands)
  local found = {DEFAULT_PRIORITY}
  for _, priority in ipairs(bands) do
    if tonumber(priority) ~= DEFAULT_PRIORITY then
      found[#found + 1] = tonumber(priority)
    end
  end
  table.sort(found)
  local turn = redis.call('incr', key(queue, '.turn'))
  if turn % 20 == 0 then
    table.sort(found, function(a, b) return a > b end)
  elseif turn % 20 == 10 then
    table.insert(found, 1, found[(turn - 10) / 20 % #found + 1])
  end
  return found
end

-- Takes the first id of a priority: of the group whose turn it is, if there are groups.
local function pop_of(queue, priority)
  local ring = ring_of(queue, priority)
  while true do
    local turn = redis.call('zrange', ring, 0, 1)
    local group = turn[2] and turn[1] or ''
    local list = list_of(queue, priority, group)
    local id = redis.call('lpop', list)
    if not turn[2] then -- there is no group, or none any more
      if turn[1] then
        redis.call('del', ring)
      end
      return id
    end
    if group == '' or redis.call('exists', list) == 1 then
      line_up(ring, group)
    else
      redis.call('zrem', ring, group)
    end
    if id then
      return id
    end
  end
end

local function pop(queue)
  local bands = redis.call('smembers', key(queue, '.bands'))
  if #bands == 0 then
    return redis.call('lpop', key(queue))
  end
  for _, priority in ipairs(order(queue, bands)) do
    local id = pop_of(queue, priority)
    if id then
      return id
    end
    redis.call('srem', key(queue, '.bands'), priority)
  end
  return false
end

-- Takes up to *wanted* messages.  Returns how many suspects wait, or -1 if the queue is
-- paused; and of each message its id, itself, and the number of the delivery.
function take.some(queue, worker, now, most, name, wanted)
  if redis.call('sismember', PAUSED, queue) == 1 then
    return {-1}
  end
  local messages, tries = key(queue, '.msgs'), key(queue, '.tries')
  local suspects = key(queue, '.suspects')
  local taken = {0}
  while wanted > 0 do
    local id = pop(queue)
    if not id then
      redis.call('del', key(queue, '.wake'))
      break
    end
    local body = redis.call('hget', messages, id)
    local number = body and redis.call('hincrby', tries, id, 1)
    if not body then
      redis.call('hdel', tries, id)
    elseif number > MAX_DELIVERIES then
      poisoned(queue, id, body, now, most, keep_of(worker))
    elseif number == MAX_DELIVERIES then
      redis.call('hset', tries, id, MAX_DELIVERIES - 1)
      redis.call('rpush', suspects, id)
    else
      redis.call('sadd', acks_of(worker, queue), id)
      take.started(read(body), now, most, name)
      taken[#taken + 1] = id
      taken[#taken + 1] = body
      taken[#taken + 1] = number
      wanted = wanted - 1
    end
  end
  taken[1] = redis.call('llen', suspects)
  return taken
end
