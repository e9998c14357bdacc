-- Returns messages that a worker holds and has not begun to run: they wait before all
-- others of their priority and group.
--
-- ARGV  queue, worker, time, greatest length of the event stream, 1 to take back that
--       the delivery was counted (or 'unsure': not that of what may be a suspect, which
--       is counted when it begins), ids
-- Returns how many were returned.
local queue, worker, now, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local returned = 0

local function counted(id)
  if ARGV[5] ~= 'unsure' then
    return tonumber(ARGV[5])
  end
  local tries = tonumber(redis.call('hget', key(queue, '.tries'), id)) or 0
  return tries < MAX_DELIVERIES - 1 and 1 or 0
end

for at = 6, #ARGV do
  local id = ARGV[at]
  if redis.call('srem', acks_of(worker, queue), id) == 1 then
    local body = redis.call('hget', key(queue, '.msgs'), id)
    if redis.call('hincrby', key(queue, '.tries'), id, 0 - counted(id)) <= 0 then
      redis.call('hdel', key(queue, '.tries'), id)
    end
    local message = body and read(body)
    if body and not is_cancelled(queue, id, message, now, most) then
      put(queue, id, message, true)
      returned = returned + 1
      if message and message.tracked then
        redis.call('hset', ns .. ':job:' .. message.job, 'state', 'queued')
      end
    end
  end
end
return returned
