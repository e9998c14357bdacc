-- Makes a worker process known, with a lease that lasts as long as it beats.
--
-- ARGV  worker, time, what it says of itself (JSON), its queues
even_if_full()
redis.call('zadd', HEARTBEATS, ARGV[2], ARGV[1])
redis.call('hset', ns .. ':__workers__', ARGV[1], ARGV[3])
if #ARGV > 3 then
  redis.call('sadd', QUEUES, unpack(ARGV, 4))
end
return 1
