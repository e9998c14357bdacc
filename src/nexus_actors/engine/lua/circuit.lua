-- One step of a circuit: may a call be made, or what came of one.
--
-- Closed while `until` is not set; open before `until`; after it one caller at a time
-- tries, until `probe` at the latest.  The budget of the circuit's name holds the row of
-- those who wait: it has no room while the circuit is open.
--
-- ARGV  enter, failed, succeeded, block or leave; time (ms), name, name of its budget,
--       failures that open it, first pause, longest pause, how long a try may take (ms);
--       enter: '1' if calls have succeeded since the last time, holder
--       failed: which part, counted once, or '': each counts
--       block: until when (ms)
-- Returns what it is: closed, turn (closed, and others wait: take one), probe, open,
-- busy (another tries), opened; and until when, in ms, or how many calls have failed.
local what, now, key = ARGV[1], tonumber(ARGV[2]), ns .. ':circuits:' .. ARGV[3]
local budget = ns .. ':budgets:'
local limit, first, longest, probe_ms =
  tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local KEEP = 3600 * 1000

local found = redis.call('hmget', key, 'until', 'pause', 'probe', 'failures')
local until_ms, pause = tonumber(found[1]) or 0, tonumber(found[2])
local probe, failures = tonumber(found[3]) or 0, tonumber(found[4]) or 0

even_if_full()

local function text(number)
  return string.format('%.0f', number)
end

local function keep(ms)
  redis.call('pexpire', key, text(math.max(0, ms - now) + KEEP))
end

local function open(ms)
  redis.call('del', key)
  redis.call('hset', key, 'until', text(ms), 'pause', pause and text(pause) or '')
  keep(ms)
  local state = budget .. 'state:' .. ARGV[4]
  local known = tonumber(redis.call('hget', state, 'blocked')) or 0
  redis.call('hset', state, 'blocked', text(math.max(known, ms)))
  redis.call('pexpire', state, text(ms - now + KEEP))
  return {'opened', text(ms)}
end

local function has_waiters()
  for _, row in ipairs({'waiting:', 'late:'}) do
    if redis.call('exists', budget .. row .. ARGV[4]) == 1 then
      return true
    end
  end
  return false
end

if what == 'enter' then
  if until_ms == 0 then
    if ARGV[9] == '1' then
      redis.call('del', key)
      failures = 0
    end
    return {has_waiters() and 'turn' or 'closed', text(failures)}
  elseif now < until_ms then
    return {'open', text(until_ms)}
  elseif now < probe then
    return {'busy', text(probe)}
  end
  redis.call('hset', key, 'probe', text(now + probe_ms))
  keep(now + probe_ms)
  for _, row in ipairs({'waiting:', 'promised:', 'late:'}) do
    redis.call('zrem', budget .. row .. ARGV[4], ARGV[10])
  end
  return {'probe', text(now + probe_ms)}
elseif what == 'failed' then
  if now < until_ms then -- it was begun before
    return {'open', text(until_ms)}
  elseif until_ms == 0 then
    local is_new = ARGV[9] == '' or redis.call('hsetnx', key, 'part:' .. ARGV[9], 1) == 1
    failures = failures + (is_new and 1 or 0)
    redis.call('hset', key, 'failures', failures)
    keep(now)
    if failures < limit then
      return {'closed', text(failures)}
    end
  end
  pause = pause and math.min(2 * pause, longest) or first
  return open(now + pause)
elseif what == 'succeeded' then
  if now < until_ms then -- it was begun before
    return {'open', text(until_ms)}
  end
  redis.call('del', key)
elseif what == 'block' then
  return open(math.max(until_ms, tonumber(ARGV[9])))
elseif what == 'leave' then
  redis.call('hdel', key, 'probe')
end
return {'closed', '0'}
