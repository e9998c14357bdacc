-- Deletes dead letters: those that are named, and what is older or more than is kept.
--
-- ARGV  queue, time of death (ms) of the oldest that is kept, how many are kept, how
--       many more than those named are deleted in this step, ids
-- Returns how many of those named, and how many others, were deleted.
local queue, oldest, most, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local letters, meta = key(queue, '.XQ'), key(queue, '.XQ.meta')
local named, others = 0, 0
for at = 5, #ARGV do
  named = named + unbury(queue, ARGV[at])
end

local function drop(ids)
  for _, id in ipairs(ids) do
    others = others + unbury(queue, id)
  end
end

drop(redis.call('zrangebyscore', letters, '-inf', '(' .. oldest, 'limit', 0, limit))
local over = math.min(limit, redis.call('zcard', letters) - tonumber(most))
if over > 0 then
  drop(redis.call('zrange', letters, 0, over - 1))
end

-- plain dramatiq deletes letters of its own accord, and knows nothing of the reasons
if redis.call('hlen', meta) > redis.call('zcard', letters) then
  for _, id in ipairs(redis.call('hkeys', meta)) do
    if not redis.call('zscore', letters, id) then
      redis.call('hdel', meta, id)
    end
  end
end
if redis.call('exists', letters) == 0 then
  redis.call('srem', ns .. ':__dead__', queue)
end
return {named, others}
