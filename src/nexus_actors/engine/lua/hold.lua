-- Lets a worker hold on to a message that it runs and Redis does not know it to run,
-- if it has not been given to another one in the meantime.
--
-- ARGV  worker, queue, id
-- Returns 1 if the message is the worker's, 0 if it is not, -1 if it cannot be: the
-- worker has lost its lease, and nobody would look after what it holds.
local acks = acks_of(ARGV[1], ARGV[2])
if is_unowned(ARGV[1]) then
  return -1
end
if redis.call('sismember', acks, ARGV[3]) == 1 then
  return 1
end
if not unlist(ARGV[2], ARGV[3]) then
  return 0
end
redis.call('sadd', acks, ARGV[3])
return 1
