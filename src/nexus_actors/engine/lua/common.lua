-- What all scripts share; each is sent with this in front of it.  It is run at each call:
-- what some need, `take` and `store`, is apart.
--
-- KEYS[1] is the namespace.  Of dramatiq, and as dramatiq has them:
--   <queue>              list     ids that wait, with the default priority
--   <queue>.msgs         hash     id -> message: all that wait or run
--   <queue>.XQ(.msgs)    zset, hash   dead letters
--   __acks__.<worker>.<queue>     set of the ids that a worker process runs
--   __heartbeats__       zset     worker -> its last sign of life
-- Ours, beside them:
--   <queue>.p<0-9>       list     ids that wait, with another priority than 5
--   <queue>.ring<0-9>    zset     groups with something waiting -> when it is their turn;
--                                 '' stands for the list of those without a group
--   <queue>.g<0-9>:<group>        list of the ids that wait for the group
--   <queue>.bands        set      which priorities may have something in these
--   <queue>.turn         integer  pops so far, counted while there are bands
--   <queue>.suspects     list     ids that were twice delivered without an end
--   <queue>.tries        hash     id -> deliveries that have not ended
--   <queue>.wake         list     hints that something waits, at most 64
--   <queue>.XQ.meta      hash     id -> why and when it died
--   <queue>.key:<actor>:<key>     'until:' or 'for:', and the job that holds the key:
--                                 until it ends, or for as long as Redis keeps this
--   <queue>.resumed      list     hints that the queue is not paused any more
--   __queues__, __paused__        sets of queues
--   __find__:<name>:<value>       zset of jobs -> when they were sent
--   __schedule__(.msgs)  zset, hash   job id -> due time (ms), message
--   __schedule__:<queue> zset     the same of one queue: job id -> due time
--   __counts__:<queue>   hash     what has happened, and to which actor's messages -> how
--                                 often, as 'processed:success:<actor>'
--   __workers__          hash     worker -> what it says of itself
--   __cron__             hash     entry -> the due time (ms) that was sent last
--   __dead__             set      queues that have dead letters
--   __cancels__          hash     job id that runs and is to end -> seconds to keep it
--   job:<job id>         hash     the job's record
--   budgets:state:<name>     hash  when the next call may be made
--   budgets:waiting:<name>   zset  who waits for it, by turn
--   budgets:promised:<name>  zset  when each of them is to come again (ms)
--   budgets:late:<name>      zset  who has not come, by turn; at most 1000
--   circuits:<name>      hash  until when it is open, and who tries it
--   __layout__           number of the way in which all this is kept
--   events               stream
--   events:domains       stream of those that are no job's, which are fewer and matter more
local ns = KEYS[1]
local MAX_DELIVERIES = 3
local MAX_HINTS = 64
local DEFAULT_PRIORITY = 5
-- A key is given back when its job ends.  Where nobody sees that, as of a stock worker's
-- job, it is free again for who asks, and gone after this time, in ms.
local KEY_LEAK = 30 * 24 * 3600 * 1000
-- Who sends what no worker knows could otherwise fill Redis with counts.
local MAX_COUNTS = 1000

local function key(queue, what)
  return ns .. ':' .. queue .. (what or '')
end

local function acks_of(worker, queue)
  return ns .. ':__acks__.' .. worker .. '.' .. queue
end

local HEARTBEATS = ns .. ':__heartbeats__'
local SCHEDULE = ns .. ':__schedule__'
local CANCELS = ns .. ':__cancels__'
local QUEUES = ns .. ':__queues__'
local PAUSED = ns .. ':__paused__'

-- A Redis that is full refuses a script whose first write needs memory.  What workers
-- need to go on, and to empty it, begins with one that needs none.
local function even_if_full()
  redis.call('del', ns .. ':')
end

-- Counts what has happened to *count* messages, in the step in which it does.
local function tally(queue, what, count)
  local counts = ns .. ':__counts__:' .. queue
  local is_new = redis.call('hincrby', counts, what, count) == count
  if is_new and redis.call('hlen', counts) > MAX_COUNTS then
    redis.call('hdel', counts, what)
    redis.call('hincrby', counts, string.match(what, '^%w+:[%w_]*:') .. 'other', count)
  end
end

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
  local actor, dedupe_key = text(message.actor_name), text(options.dedupe_key)
  return {
    job = message.message_id,
    id = text(options.redis_message_id),
    actor = actor,
    queue = string.gsub(text(message.queue_name), '%.DQ$', ''),
    sent_at = string.format('%.0f', tonumber(message.message_timestamp) or 0),
    attempt = string.format('%.0f', (tonumber(options.retries) or 0) + 1),
    due = tonumber(options.eta) or 0,
    tracked = options.track ~= false,
    priority = string.format('%d', priority),
    group = text(options.group),
    key = dedupe_key ~= '' and not options.dedupe_for and actor .. ':' .. dedupe_key or '',
  }
end

local function band(queue, priority)
  if tonumber(priority) == DEFAULT_PRIORITY then
    return key(queue)
  end
  return key(queue, '.p' .. priority)
end

-- Wakes who waits; returns how many hints there are.
local hints = {} -- the same, for a script that stores many messages
local function hint(wake)
  local count = hints[wake] or redis.call('llen', wake)
  if count < MAX_HINTS then
    count = redis.call('rpush', wake, '1')
  end
  hints[wake] = count
  return count
end

local function ring_of(queue, priority)
  return key(queue, '.ring' .. priority)
end

local function list_of(queue, priority, group)
  if group == '' then
    return band(queue, priority)
  end
  return key(queue, '.g' .. priority .. ':' .. group)
end

-- Gives a group the last turn.
local function line_up(ring, group)
  local last = redis.call('zrange', ring, -1, -1, 'withscores')[2] or 0
  redis.call('zadd', ring, last + 1, group)
end

-- Makes sure that a group has a turn, and, as long as any has one, those without a group.
local function let_in(queue, priority, group)
  local ring = ring_of(queue, priority)
  for _, each in ipairs({group, ''}) do
    if not redis.call('zscore', ring, each) then
      line_up(ring, each)
    end
  end
  redis.call('sadd', key(queue, '.bands'), priority)
end

-- Lets ids wait: at the end of their priority and group, or before all others of these.
local function put_all(queue, ids, message, in_front)
  local priority = message and message.priority or DEFAULT_PRIORITY
  local group = message and message.group or ''
  local list = list_of(queue, priority, group)
  if group ~= '' then
    let_in(queue, priority, group)
  elseif list ~= key(queue) then
    redis.call('sadd', key(queue, '.bands'), priority)
  end
  redis.call(in_front and 'lpush' or 'rpush', list, unpack(ids))
  for _ = 1, math.min(#ids, MAX_HINTS) do
    if hint(key(queue, '.wake')) == 1 then -- it was quiet until now
      redis.call('sadd', QUEUES, queue)
    end
  end
end

local function put(queue, id, message, in_front)
  put_all(queue, {id}, message, in_front)
end

local function schedule(queue, job, due, body)
  redis.call('zadd', SCHEDULE, due, job)
  redis.call('zadd', SCHEDULE .. ':' .. queue, due, job)
  redis.call('hset', SCHEDULE .. '.msgs', job, body)
  redis.call('sadd', QUEUES, queue)
  if redis.call('zrange', SCHEDULE, 0, 0)[1] == job then
    hint(SCHEDULE .. '.wake')
  end
end

local function unschedule(queue, job)
  redis.call('zrem', SCHEDULE, job)
  redis.call('zrem', SCHEDULE .. ':' .. queue, job)
  redis.call('hdel', SCHEDULE .. '.msgs', job)
end

-- Tells what has happened; a body of three lines has another event and its body, which
-- is what the end of the job means in its domain.
local function tell(most, event, job, now, body)
  local first, meaning, more = string.match(body, '^([^\n]*)\n([^\n]*)\n(.*)$')
  redis.call('xadd', ns .. ':events', 'maxlen', '~', most, '*',
    'event', event, 'job', job, 'at', now, 'body', first or body)
  for _, stream in ipairs(meaning and {':events', ':events:domains'} or {}) do
    redis.call('xadd', ns .. stream, 'maxlen', '~', most, '*',
      'event', meaning, 'job', job, 'at', now, 'body', more)
  end
end

-- Returns the job that holds a key, if any does.
local function holder_of(queue, name)
  local way, job = string.match(redis.call('get', key(queue, '.key:' .. name)) or '',
    '^(%a+):(.*)$')
  if not job or way == 'for'
    or redis.call('hexists', key(queue, '.msgs'), job) == 1
    or redis.call('hexists', SCHEDULE .. '.msgs', job) == 1
  then
    return job
  end
  return nil
end

-- Gives a job a key that nobody else holds: until it ends, or for *throttle* ms.
local function hold_key(queue, name, job, now, due, throttle)
  local way, ms = 'for:', tonumber(throttle)
  if not ms then
    way, ms = 'until:', KEY_LEAK + math.max(0, (tonumber(due) or 0) - now)
  end
  redis.call('set', key(queue, '.key:' .. name), way .. job,
    'px', string.format('%.0f', ms))
end

-- Lets a job that goes on keep its key.
local function keep_key(queue, message, now, due)
  if message and message.key ~= '' then
    local holder = holder_of(queue, message.key)
    if not holder or holder == message.job then
      hold_key(queue, message.key, message.job, now, due)
    end
  end
end

-- Takes from a job what it held as long as it was alive.  Each way in which a job ends
-- passes through here: with the key that `read` finds, or ''.
local function release(queue, name, job)
  if name == '' then
    return
  end
  local held = key(queue, '.key:' .. name)
  if redis.call('get', held) == 'until:' .. job then
    redis.call('del', held)
  end
end

-- Moves a message to the dead letters; *why* is JSON.  Whoever does so counts it.
local function bury(queue, id, body, now, why)
  local message = read(body)
  if message then
    release(queue, message.key, message.job)
  end
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
local function cancel(message, now, most, keep)
  release(message.queue, message.key, message.job)
  tally(message.queue, 'processed:cancelled:' .. message.actor, 1)
  if not message.tracked then
    return
  end
  local record = ns .. ':job:' .. message.job
  redis.call('hset', record, 'state', 'cancelled', 'finished_at', now)
  redis.call('expire', record, keep)
  redis.call('hdel', CANCELS, message.job)
  tell(most, 'job.cancelled', message.job, now, cjson.encode({
    actor = message.actor, queue = message.queue
  }))
end

-- Ends a message that would wait again, if its job was cancelled while it ran.
local function is_cancelled(queue, id, message, now, most)
  local keep = message and message.tracked and redis.call('hget', CANCELS, message.job)
  if not keep then
    return false
  end
  redis.call('hdel', key(queue, '.msgs'), id)
  redis.call('hdel', key(queue, '.tries'), id)
  cancel(message, now, most, keep)
  return true
end

local function is_unowned(worker)
  return redis.call('zscore', HEARTBEATS, worker) == false
end

-- Takes an id out of where it waits; tells whether it was there.
local function unlist(queue, id)
  local lists = {key(queue), key(queue, '.suspects')}
  local message = read(redis.call('hget', key(queue, '.msgs'), id) or '')
  if message and message.group ~= '' then
    lists[#lists + 1] = list_of(queue, message.priority, message.group)
  end
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
