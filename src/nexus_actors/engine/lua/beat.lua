-- Says that a worker lives.
--
-- ARGV  worker, time
-- Returns 0 if it has lost its lease: it was taken for dead, or Redis has forgotten it.
if is_unowned(ARGV[1]) then
  return 0
end
even_if_full()
redis.call('zadd', HEARTBEATS, ARGV[2], ARGV[1])
return 1
