-- Stores messages: each on its queue, or in the schedule; and records its job.
--
-- A message whose job is known is left alone: it was sent again since nobody could
-- tell whether it had arrived.  One that has failed may run again; then it is no dead
-- letter any more.
--
-- ARGV  time, greatest length of the event stream, due time or ''; and for each run of
--       messages that have these in common: what `store` calls so, how many; and for
--       each its id, itself, time of its making
-- Returns for each message what `store` does.
local COMMON = 9

-- Stores messages as `store` does that leave nothing behind but themselves: no record,
-- no key, no due time.  One call of Redis for all is what makes many quick.
-- Returns what `store` does for each, and how many were stored.
local function store_bare(common, first, last)
  local queue, ids = common[1], {}
  for each = first, last, 3 do
    ids[#ids + 1] = ARGV[each]
  end
  local scheduled = redis.call('hmget', SCHEDULE .. '.msgs', unpack(ids))
  local waiting = redis.call('hmget', key(queue, '.msgs'), unpack(ids))
  local answers, seen, new, fields = {}, {}, {}, {}
  for at, id in ipairs(ids) do
    answers[at] = (scheduled[at] or waiting[at] or seen[id]) and 0 or 1
    if answers[at] == 1 then
      seen[id] = true
      new[#new + 1] = id
      fields[#fields + 1] = id
      fields[#fields + 1] = ARGV[first + 3 * at - 2]
    end
  end
  if #new > 0 then
    redis.call('hset', key(queue, '.msgs'), unpack(fields))
    put_all(queue, new, {priority = common[4], group = common[6]})
  end
  return answers, #new
end

local function store_each(common, first, last)
  local answers, new = {}, 0
  for each = first, last, 3 do
    local answer = store(
      ARGV[1], ARGV[2], ARGV[3], common, unpack(ARGV, each, each + 2)
    )
    answers[#answers + 1] = answer
    new = new + (answer == 1 and 1 or 0)
  end
  return answers, new
end

local stored = {}
local at = 4
while at < #ARGV do
  local common = {unpack(ARGV, at, at + COMMON - 1)}
  local first = at + COMMON + 1
  local last = first + 3 * tonumber(ARGV[first - 1]) - 1
  local is_bare = ARGV[3] == '' and common[2] == '0' and common[7] == ''
  local answers, new = (is_bare and store_bare or store_each)(common, first, last)
  for _, answer in ipairs(answers) do
    stored[#stored + 1] = answer
  end
  if new > 0 then
    tally(common[1], 'enqueued::' .. common[3], new)
  end
  at = last + 1
end
return stored
