-- Takes calls of several budgets, of all or of none; or tells when to come again.
--
-- Each budget is a generic cell rate: `free` is when the next call may be made, and each
-- call moves it.  Who has to wait gets a number, and is told to come when those before
-- it will have been served: the waiters come one by one, in the order in which they
-- first came.  Who does not come again within GRACE has lost its number.
--
-- ARGV  time (ms), holder, calls; and for each budget its name, how many calls in any
--       window, the window (ms), how many of them at once
-- Returns how long to wait (ms), 0 if all were taken; and which budget, from 1, is the
-- last to have room.
local now, holder, calls = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local GRACE = 60000

local function number(value)
  return tonumber(value) or 0
end

local function forget(budget, who)
  redis.call('zrem', budget.waiting, who)
  redis.call('zrem', budget.promised, who)
end

local function read_budget(name, limit, window, burst)
  local key = ns .. ':budgets:state:' .. name
  local budget = {
    key = key,
    waiting = ns .. ':budgets:waiting:' .. name,
    promised = ns .. ':budgets:promised:' .. name,
  }
  for _, gone in ipairs(redis.call(
    'zrangebyscore', budget.promised, '-inf', now - GRACE, 'limit', 0, 100
  )) do
    forget(budget, gone)
  end
  local next_call, blocked, pace, paced_until = unpack(redis.call(
    'hmget', key, 'next_call', 'blocked', 'pace', 'paced_until'
  ))
  -- so many at once, and the rest of the window's calls spread over it
  budget.each = window / (limit - burst + 1)
  if number(paced_until) > now and number(pace) > budget.each then
    budget.each, burst = number(pace), calls
  end
  budget.next_call = number(next_call)
  budget.blocked = number(blocked)
  budget.window = window
  local free = budget.next_call - (burst - calls) * budget.each
  budget.free = math.max(now, free, budget.blocked)
  return budget
end

-- How long the holder has to wait for its turn; those before it are served first, except
-- by who was told to come by now: then they are late.
local function wait_for(budget)
  local place = redis.call('zrank', budget.waiting, holder)
  local promised = number(redis.call('zscore', budget.promised, holder))
  local before = place or redis.call('zcard', budget.waiting)
  local is_due = before == 0 or (place and promised <= now)
  if is_due and budget.free <= now then
    return 0
  end
  return math.ceil(budget.free + before * calls * budget.each - now)
end

local budgets, waits, longest, last = {}, {}, 0, 0
for at = 4, #ARGV, 4 do
  local budget = read_budget(
    ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  )
  local wait = wait_for(budget)
  budgets[#budgets + 1], waits[#waits + 1] = budget, wait
  if wait > longest then
    longest, last = wait, #budgets
  end
end

for at, budget in ipairs(budgets) do
  if longest == 0 then
    budget.next_call = math.max(now, budget.next_call) + calls * budget.each
    redis.call('hset', budget.key, 'next_call', string.format('%.3f', budget.next_call))
    forget(budget, holder)
  elseif waits[at] > 0 or redis.call('zscore', budget.waiting, holder) then
    local ticket = redis.call('hincrby', budget.key, 'tickets', 1)
    redis.call('zadd', budget.waiting, 'nx', ticket, holder)
    redis.call('zadd', budget.promised, now + longest, holder)
  end
  local last_needed = math.max(budget.next_call, budget.blocked, now + longest)
  local ttl = math.ceil(last_needed - now + budget.window + 2 * GRACE)
  for _, key in ipairs({budget.key, budget.waiting, budget.promised}) do
    redis.call('pexpire', key, ttl)
  end
end
return {longest, last}
