-- What is where in a queue, at a cost that does not grow with its messages; for the
-- scripts that tell people.
local states = {}

-- How many messages of a queue these workers run.
function states.running(queue, workers)
  local running = 0
  for _, worker in ipairs(workers) do
    running = running + redis.call('scard', acks_of(worker, queue))
  end
  return running
end

-- How many messages wait for their time.
function states.delayed(queue)
  return redis.call('zcard', SCHEDULE .. ':' .. queue)
    + redis.call('hlen', key(queue, '.DQ.msgs'))
end

-- Since when (ms) a message could run; `read` tells more, and takes longer.
local function ready_at(body)
  local ok, message = pcall(cjson.decode, body)
  if not ok or type(message) ~= 'table' then
    return nil
  end
  local options = type(message.options) == 'table' and message.options or {}
  return tonumber(options.eta) or tonumber(message.message_timestamp)
end

-- Since when (ms) the message waits that is first of all lists, or of the next *groups*
-- groups of a priority; nil if none does.
function states.waiting_since(queue, groups)
  local since
  local function look_at_first(list)
    local id = redis.call('lindex', list, 0)
    local body = id and redis.call('hget', key(queue, '.msgs'), id)
    local began = body and ready_at(body)
    if began then
      since = math.min(since or math.huge, began)
    end
  end
  look_at_first(key(queue))
  look_at_first(key(queue, '.suspects'))
  for _, priority in ipairs(redis.call('smembers', key(queue, '.bands'))) do
    look_at_first(band(queue, priority))
    for _, group in ipairs(redis.call('zrange', ring_of(queue, priority), 0, groups)) do
      if group ~= '' then
        look_at_first(list_of(queue, priority, group))
      end
    end
  end
  return since
end
