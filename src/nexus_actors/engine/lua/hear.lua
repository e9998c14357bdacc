-- Takes the next event for a consumer of a group: one whose consumer has died, else
-- one that nobody has had; and acknowledges the one before.
--
-- ARGV  group, consumer, after how many ms an event that was not acknowledged is taken
--       from its consumer, id to acknowledge or '', place up to which the group knows
--       that events are missing or '', which stream: '' or ':domains'
-- Returns what it is, and more:
--   event    id, fields and values
--   gone     id of one that was trimmed while its consumer had it
--   trimmed  how many events were never heard by the group, or -1 if nobody knows; the
--            place before the next one
--   none     the place after which there will be more
local events = ns .. ':events' .. ARGV[6]
local group, consumer, patience = ARGV[1], ARGV[2], ARGV[3]

if ARGV[4] ~= '' then
  redis.call('xack', events, group, ARGV[4])
end

local function fields_of(flat)
  local found = {}
  for at = 1, #flat, 2 do
    found[flat[at]] = flat[at + 1]
  end
  return found
end

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local function is_before(one, other)
  local ms, number = parts(one)
  local other_ms, other_number = parts(other)
  return ms < other_ms or (ms == other_ms and number < other_number)
end

-- The place right before an event.
local function before(id)
  local ms, number = parts(id)
  if number > 0 then
    return string.format('%.0f-%.0f', ms, number - 1)
  end
  return string.format('%.0f-18446744073709551615', ms - 1)
end

local stream = fields_of(redis.call('xinfo', 'stream', events))
local counted = stream['entries-added'] -- nil before Redis 7

-- What was trimmed before it was heard: the place after it, and how many.
local function missing()
  local first = stream['first-entry']
  if not first then
    return nil
  end
  local place = before(first[1])
  for _, flat in ipairs(redis.call('xinfo', 'groups', events)) do
    local known = fields_of(flat)
    if known.name == group and is_before(known['last-delivered-id'], place) then
      local heard = known['entries-read']
      local lost = counted and heard and counted - stream.length - heard or -1
      if lost ~= 0 then
        return place, lost
      end
    end
  end
end

local function taken_over()
  local waiting = redis.call('xpending', events, group, 'idle', patience, '-', '+', 1)[1]
  if not waiting then
    return nil
  end
  local id = waiting[1]
  local entry = redis.call('xrange', events, id, id)[1]
  if not entry then
    return {'gone', id}
  end
  redis.call('xclaim', events, group, consumer, patience, id)
  return {'event', entry[1], unpack(entry[2])}
end

local found = taken_over()
if found then
  return found
end

local place, lost = missing()
if place then
  if ARGV[5] == '' or is_before(ARGV[5], place) then
    return {'trimmed', lost, place}
  end
  redis.call('xgroup', 'setid', events, group, place)
end

local answer = redis.call('xreadgroup', 'group', group, consumer, 'count', 1,
  'streams', events, '>')
if answer then
  local entry = answer[1][2][1]
  return {'event', entry[1], unpack(entry[2])}
end
return {'none', stream['last-generated-id']}
