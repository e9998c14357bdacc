-- Makes a worker process known, with a lease that lasts as long as it beats.
--
-- ARGV  worker, time, what it says of itself (JSON)
even_if_full()
redis.call('zadd', HEARTBEATS, ARGV[2], ARGV[1])
redis.call('hset', ns .. ':__workers__', ARGV[1], ARGV[3])
return 1
