-- How a message is stored; for the scripts that do so.
local MAX_FOUND = 100

-- Returns what is known of a job; of one without a record, whether it is scheduled.
local function state_of(id, tracked)
  if tracked then
    return redis.call('hget', ns .. ':job:' .. id, 'state')
  end
  return redis.call('hexists', SCHEDULE .. '.msgs', id) == 1 and 'scheduled'
end

-- Forgets that a job has failed, or was cancelled.
local function forget(queue, id)
  unbury(queue, id)
  redis.call('del', ns .. ':job:' .. id)
end

-- Lets jobs be found by what the host calls them; *found_by* is JSON: for how long, in
-- ms, and names with their values.
local function index(id, found_by, now, due)
  local names = cjson.decode(found_by)
  local ms = names[1] + math.max(0, (tonumber(due) or 0) - now)
  for at = 2, #names do
    local found = ns .. ':__find__:' .. names[at]
    redis.call('zadd', found, now, id)
    redis.call('zremrangebyrank', found, 0, -1 - MAX_FOUND)
    redis.call('pexpire', found, string.format('%.0f', ms))
  end
end

-- Stores a message unless its job is known, or another job holds its key: on its queue,
-- or in the schedule if *due* is not ''; and records its job.  What we store has the
-- job's id.  *common* is what it may share with others: queue, '1' if it is tracked,
-- actor, priority, event body, group, key, ms to hold the key for or '' (until the
-- end), what it is found by.
-- Returns 1 if it was stored, 0 if it is known, else the job that holds its key.
local function store(now, most, due, common, id, body, sent_at)
  local queue, tracked, actor, priority, told, group, name, throttle, found_by =
    unpack(common)
  tracked = tracked == '1'
  local state = state_of(id, tracked)
  local failed = state == 'dead' or state == 'cancelled'
  if state and not failed then
    return 0
  end
  local holder = name ~= '' and holder_of(queue, name)
  if holder and holder ~= id then
    return holder
  end
  if failed then
    forget(queue, id)
  end
  if due == '' then
    if redis.call('hsetnx', key(queue, '.msgs'), id, body) == 0 then
      return 0
    end
    put(queue, id, {priority = priority, group = group})
  else
    if redis.call('hexists', key(queue, '.msgs'), id) == 1 then
      return 0
    end
    schedule(queue, id, due, body)
  end
  if name ~= '' then
    hold_key(queue, name, id, now, due, throttle)
  end
  if tracked then
    redis.call('hset', ns .. ':job:' .. id,
      'state', due == '' and 'queued' or 'scheduled',
      'actor', actor, 'queue', queue, 'enqueued_at', sent_at)
    tell(most, 'job.enqueued', id, now, told)
    if found_by ~= '' then
      index(id, found_by, now, due)
    end
  end
  return 1
end
