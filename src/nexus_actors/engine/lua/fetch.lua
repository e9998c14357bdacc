-- Takes messages for a worker that is free to run them at once: counts the delivery,
-- and records that the job runs.
--
-- One that was delivered twice without an end is put among the suspects; a worker
-- takes such a one alone (`reserve`, and `begin` when nothing else runs in it).  One
-- that was delivered three times is a dead letter.
--
-- ARGV  mode (some, reserve, begin), queue, worker, time, greatest length of the event
--       stream, name of the worker for people; how many, or the id for `begin`
-- Returns nil if the worker has lost its lease; else how many suspects wait, and for
-- each message its id, itself, and the number of the delivery.
local mode, queue, worker, now, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local messages, tries = key(queue, '.msgs'), key(queue, '.tries')
local acks, suspects = acks_of(worker, queue), key(queue, '.suspects')
if is_unowned(worker) then
  return nil
end

local function started(message)
  if not message or not message.tracked then
    return
  end
  redis.call('hset', ns .. ':job:' .. message.job, 'state', 'running',
    'actor', message.actor, 'queue', message.queue, 'attempt', message.attempt,
    'enqueued_at', message.sent_at, 'started_at', now, 'worker', ARGV[6])
  tell(most, 'job.started', message.job, now, cjson.encode({
    actor = message.actor, queue = message.queue, attempt = tonumber(message.attempt)
  }))
end

local function poisoned(id, body)
  local why = cjson.encode({
    type = 'RejectedError', code = 'poison', retryable = false,
    message = 'its worker died ' .. MAX_DELIVERIES .. ' times while it ran'
  })
  bury(queue, id, body, now, cjson.encode({
    reason = 'poison', at = tonumber(now), error = cjson.decode(why)
  }))
  local message = read(body)
  if message and message.tracked then
    redis.call('hset', ns .. ':job:' .. message.job, 'state', 'dead',
      'finished_at', now, 'error', why)
    tell(most, 'job.dead', message.job, now, cjson.encode({
      actor = message.actor, queue = message.queue, error = cjson.decode(why)
    }))
  end
end

-- The bands from the most urgent on; every 20th pop begins with the least urgent, and
-- every 20th with each of them in turn, so that none starves.
local function order(bands)
  local found = {DEFAULT_PRIORITY}
  for _, priority in ipairs(bands) do
    found[#found + 1] = tonumber(priority)
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

local function pop()
  local bands = redis.call('smembers', key(queue, '.bands'))
  if #bands == 0 then
    return redis.call('lpop', key(queue))
  end
  for _, priority in ipairs(order(bands)) do
    local list = band(queue, priority)
    local id = redis.call('lpop', list)
    if id then
      return id
    end
    if list ~= key(queue) then
      redis.call('srem', key(queue, '.bands'), priority)
    end
  end
  return false
end

local taken = {0}
local function add(id, body, number)
  taken[#taken + 1] = id
  taken[#taken + 1] = body
  taken[#taken + 1] = number
end

if mode == 'begin' then
  local body = redis.call('hget', messages, ARGV[7])
  if body and redis.call('sismember', acks, ARGV[7]) == 1 then
    started(read(body))
    add(ARGV[7], body, redis.call('hincrby', tries, ARGV[7], 1))
  end
  return taken
end

if mode == 'reserve' then
  local id = redis.call('lpop', suspects)
  local body = id and redis.call('hget', messages, id)
  if body then
    redis.call('sadd', acks, id)
    add(id, body, MAX_DELIVERIES - 1)
  end
  return taken
end

local wanted = tonumber(ARGV[7])
while wanted > 0 do
  local id = pop()
  if not id then
    redis.call('del', key(queue, '.wake'))
    break
  end
  local body = redis.call('hget', messages, id)
  local number = body and redis.call('hincrby', tries, id, 1)
  if not body then
    redis.call('hdel', tries, id)
  elseif number > MAX_DELIVERIES then
    poisoned(id, body)
  elseif number == MAX_DELIVERIES then
    redis.call('hset', tries, id, MAX_DELIVERIES - 1)
    redis.call('rpush', suspects, id)
  else
    redis.call('sadd', acks, id)
    started(read(body))
    add(id, body, number)
    wanted = wanted - 1
  end
end
taken[1] = redis.call('llen', suspects)
return taken
