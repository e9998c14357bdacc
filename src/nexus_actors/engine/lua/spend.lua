-- Takes calls of several budgets, of all or of none; or tells when to come again.
--
-- Each budget is a generic cell rate: `free` is when the next call may be made, and each
-- call moves it.  Who has to wait gets a number, and is told to come when those before
-- it will have been served: the waiters come one by one, in the order in which they
-- first came.  Who is later than LATE is not waited for, and keeps its number; as does
-- who will call again, so that it comes before those who came later.  How many calls
-- one makes in the mean is counted, and so how long those before one will take.
--
-- ARGV  time (ms), holder, calls, '1' if it will call again; and for each budget its
--       name, how many calls in any window, the window (ms), how many of them at once
-- Returns how long to wait (ms), 0 if all were taken; and which budget, from 1, is the
-- last to have room.
local now, holder, calls = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local calls_again = ARGV[4] == '1'
local LATE, MOST, KEEP, COUNTED = 5000, 1000, 60000, 1000

local function number(value)
  return tonumber(value) or 0
end

local function forget(budget, who)
  redis.call('zrem', budget.waiting, who)
  redis.call('zrem', budget.late, who)
  redis.call('zrem', budget.promised, who)
end

-- Those who have not come are not before anybody any more.
local function pass_over(budget)
  for _, who in ipairs(redis.call(
    'zrangebyscore', budget.promised, '-inf', now - LATE, 'limit', 0, 100
  )) do
    local ticket = redis.call('zscore', budget.waiting, who)
    forget(budget, who)
    redis.call('zadd', budget.late, ticket, who)
  end
  redis.call('zremrangebyrank', budget.late, 0, -1 - MOST)
end

local function read_budget(name, limit, window, burst)
  local key = ns .. ':budgets:state:' .. name
  local budget = {
    key = key,
    waiting = ns .. ':budgets:waiting:' .. name,
    promised = ns .. ':budgets:promised:' .. name,
    late = ns .. ':budgets:late:' .. name,
    begun = ns .. ':budgets:begun:' .. name,
  }
  pass_over(budget)
  local next_call, blocked, pace, paced_until, taken, holders = unpack(redis.call(
    'hmget', key, 'next_call', 'blocked', 'pace', 'paced_until', 'taken', 'holders'
  ))
  -- so many at once, and the rest of the window's calls spread over it
  budget.each = window / (limit - burst + 1)
  if number(paced_until) > now and number(pace) > budget.each then
    budget.each, burst = number(pace), calls
  end
  budget.next_call = number(next_call)
  budget.blocked = number(blocked)
  budget.window = window
  budget.taken, budget.holders = number(taken), number(holders)
  local free = budget.next_call - (burst - calls) * budget.each
  budget.free = math.max(now, free, budget.blocked)
  return budget
end

-- How long the holder has to wait for its turn; those before it are served first, except
-- by who was told to come by now: then they are late.
local function wait_for(budget)
  local late = redis.call('zscore', budget.late, holder)
  budget.has_begun = redis.call('zscore', budget.begun, holder)
  budget.ticket = budget.has_begun or late or redis.call('zscore', budget.waiting, holder)
  local before = redis.call('zcount', budget.waiting, '-inf',
    budget.ticket and '(' .. budget.ticket or '+inf')
  local promised = number(redis.call('zscore', budget.promised, holder))
  local is_due = before == 0 or late or budget.has_begun or (promised > 0 and promised <= now)
  if is_due and budget.free <= now then
    return 0
  end
  local turn = calls * budget.each * math.max(1, budget.taken / math.max(1, budget.holders))
  return math.ceil(budget.free + before * turn - now)
end

local function next_ticket(budget)
  return redis.call('hincrby', budget.key, 'tickets', 1)
end

local function count(budget)
  local halved = budget.taken > COUNTED and 2 or 1
  redis.call('hset', budget.key, 'taken', math.floor(budget.taken / halved) + 1,
    'holders', math.floor(budget.holders / halved) + (budget.has_begun and 0 or 1))
end

local budgets, waits, longest, last = {}, {}, 0, 0
for at = 5, #ARGV, 4 do
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
    if calls_again then
      count(budget)
      redis.call('zadd', budget.begun, budget.ticket or next_ticket(budget), holder)
      redis.call('zremrangebyrank', budget.begun, 0, -1 - MOST)
    end
  elseif waits[at] > 0 or budget.ticket then
    local ticket = budget.ticket or next_ticket(budget)
    forget(budget, holder)
    redis.call('zadd', budget.waiting, ticket, holder)
    redis.call('zadd', budget.promised, now + longest, holder)
  end
  local last_needed = math.max(budget.next_call, budget.blocked, now + longest)
  local ttl = math.ceil(last_needed - now + budget.window + KEEP)
  for _, what in ipairs({'key', 'waiting', 'promised', 'late', 'begun'}) do
    redis.call('pexpire', budget[what], ttl)
  end
end
return {longest, last}
