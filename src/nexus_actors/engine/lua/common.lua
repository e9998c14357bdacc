-- What all scripts share; each is sent with this in front of it.
--
-- KEYS[1] is the namespace.  Of dramatiq, and as dramatiq has them:
--   <queue>              list     ids that wait, with the default priority
--   <queue>.msgs         hash     id -> message: all that wait or run
--   <queue>.XQ(.msgs)    zset, hash   dead letters
--   __acks__.<worker>.<queue>     set of the ids that a worker process runs
--   __heartbeats__       zset     worker -> its last sign of life
-- Ours, beside them:
--   <queue>.p<0-9>       list     ids that wait, with another priority than 5
--   <queue>.bands        set      which of these lists may have something
--   <queue>.turn         integer  pops so far, counted while there are bands
--   <queue>.suspects     list     ids that were twice delivered without an end
--   <queue>.tries        hash     id -> deliveries that have not ended
--   <queue>.wake         list     hints that something waits, at most 64
--   <queue>.XQ.meta      hash     id -> why and when it died
--   __schedule__(.msgs)  zset, hash   job id -> due time (ms), message
--   __workers__          hash     worker -> what it says of itself
--   __cron__             hash     entry -> the due time (ms) that was sent last
--   __dead__             set      queues that have dead letters
--   __cancels__          hash     job id that runs and is to end -> seconds to keep it
--   job:<job id>         hash     the job's record
--   events               stream
local ns = KEYS[1]
local MAX_DELIVERIES = 3
local MAX_HINTS = 64
local DEFAULT_PRIORITY = 5

local function key(queue, what)
  return ns .. ':' .. queue .. (what or '')
end

local function acks_of(worker, queue)
  return ns .. ':__acks__.' .. worker .. '.' .. queue
end

local HEARTBEATS = ns .. ':__heartbeats__'
local SCHEDULE = ns .. ':__schedule__'
local CANCELS = ns .. ':__cancels__'

-- What the scripts need to know of a message; nil if it is none.
local function read(body)
  local ok, message = pcall(cjson.decode, body)
  if not ok or type(message) ~= 'table' or type(message.message_id) ~= 'string' then
    return nil
  end
  local options = type(message.options) == 'table' and message.options or {}
  local priority = tonumber(options.priority)
  if not priority or priority % 1 ~= 0 or priority < 0 or priority > 9 then
    priority = DEFAULT_PRIORITY
  end
  local function text(value)
    return type(value) == 'string' and value or ''
  end
  return {
    job = message.message_id,
    id = text(options.redis_message_id),
    actor = text(message.actor_name),
    queue = string.gsub(text(message.queue_name), '%.DQ$', ''),
    sent_at = string.format('%.0f', tonumber(message.message_timestamp) or 0),
    attempt = string.format('%.0f', (tonumber(options.retries) or 0) + 1),
    due = tonumber(options.eta) or 0,
    tracked = options.track ~= false,
    priority = string.format('%d', priority),
  }
end

local function band(queue, priority)
  if tonumber(priority) == DEFAULT_PRIORITY then
    return key(queue)
  end
  return key(queue, '.p' .. priority)
end

local hints = {} -- how many there are, for a script that stores many messages
local function hint(wake)
  local count = hints[wake] or redis.call('llen', wake)
  if count < MAX_HINTS then
    count = redis.call('rpush', wake, '1')
  end
  hints[wake] = count
end

-- Lets an id wait: at the end of its priority, or before all others of it.
local function put(queue, id, priority, in_front)
  local list = band(queue, priority)
  if list ~= key(queue) then
    redis.call('sadd', key(queue, '.bands'), priority)
  end
  redis.call(in_front and 'lpush' or 'rpush', list, id)
  hint(key(queue, '.wake'))
end

local function schedule(job, due, body)
  redis.call('zadd', SCHEDULE, due, job)
  redis.call('hset', SCHEDULE .. '.msgs', job, body)
  if redis.call('zrange', SCHEDULE, 0, 0)[1] == job then
    hint(SCHEDULE .. '.wake')
  end
end

local function tell(most, event, job, now, body)
  redis.call('xadd', ns .. ':events', 'maxlen', '~', most, '*',
    'event', event, 'job', job, 'at', now, 'body', body)
end

-- Moves a message to the dead letters; *why* is JSON.
local function bury(queue, id, body, now, why)
  redis.call('hdel', key(queue, '.msgs'), id)
  redis.call('hdel', key(queue, '.tries'), id)
  redis.call('zadd', key(queue, '.XQ'), now, id)
  redis.call('hset', key(queue, '.XQ.msgs'), id, body)
  redis.call('hset', key(queue, '.XQ.meta'), id, why)
  redis.call('sadd', ns .. ':__dead__', queue)
end

local function unbury(queue, id)
  redis.call('hdel', key(queue, '.XQ.msgs'), id)
  redis.call('hdel', key(queue, '.XQ.meta'), id)
  return redis.call('zrem', key(queue, '.XQ'), id)
end

-- Ends a job that was cancelled; its message is in no place any more.
local function cancel(job, actor, queue, now, most, keep)
  local record = ns .. ':job:' .. job
  redis.call('hset', record, 'state', 'cancelled', 'finished_at', now)
  redis.call('expire', record, keep)
  redis.call('hdel', CANCELS, job)
  tell(most, 'job.cancelled', job, now, cjson.encode({actor = actor, queue = queue}))
end

-- Ends a message that would wait again, if its job was cancelled while it ran.
local function is_cancelled(queue, id, message, now, most)
  local keep = message and message.tracked and redis.call('hget', CANCELS, message.job)
  if not keep then
    return false
  end
  redis.call('hdel', key(queue, '.msgs'), id)
  redis.call('hdel', key(queue, '.tries'), id)
  cancel(message.job, message.actor, message.queue, now, most, keep)
  return true
end

local function is_unowned(worker)
  return redis.call('zscore', HEARTBEATS, worker) == false
end

-- Takes an id out of where it waits; tells whether it was there.
local function unlist(queue, id)
  local lists = {key(queue), key(queue, '.suspects')}
  for _, priority in ipairs(redis.call('smembers', key(queue, '.bands'))) do
    lists[#lists + 1] = band(queue, priority)
  end
  for _, list in ipairs(lists) do
    if redis.call('lrem', list, 1, id) == 1 then
      return true
    end
  end
  return false
end

local function is_known(queue, id, tracked)
  if not tracked then
    return redis.call('hexists', SCHEDULE .. '.msgs', id) == 1
  end
  local record = ns .. ':job:' .. id
  local state = redis.call('hget', record, 'state')
  if state and state ~= 'dead' and state ~= 'cancelled' then
    return true
  end
  if state then
    unbury(queue, id)
    redis.call('del', record)
  end
  return false
end

-- Stores a message unless its job is known: on its queue, or in the schedule if *due*
-- is not ''; and records its job.  What we store has the job's id.
local function store(
  now, most, due, queue, tracked, actor, priority, told, id, body, sent_at
)
  tracked = tracked == '1'
  if is_known(queue, id, tracked) then
    return 0
  end
  if due == '' then
    if redis.call('hsetnx', key(queue, '.msgs'), id, body) == 0 then
      return 0
    end
    put(queue, id, priority)
  else
    if redis.call('hexists', key(queue, '.msgs'), id) == 1 then
      return 0
    end
    schedule(id, due, body)
  end
  if tracked then
    redis.call('hset', ns .. ':job:' .. id,
      'state', due == '' and 'queued' or 'scheduled',
      'actor', actor, 'queue', queue, 'enqueued_at', sent_at)
    tell(most, 'job.enqueued', id, now, told)
  end
  return 1
end
