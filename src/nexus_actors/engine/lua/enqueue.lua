-- Stores messages: each on its queue, or in the schedule; and records its job.
--
-- A message whose job is known is left alone: it was sent again since nobody could
-- tell whether it had arrived.  One that has failed may run again; then it is no dead
-- letter any more.
--
-- ARGV  time, greatest length of the event stream; and for each message: queue, id,
--       message, job id, '1' if it is tracked, actor, priority, due time or '',
--       time of its making, event body
-- Returns for each message 1 if it was stored.
local stored = {}
for at = 3, #ARGV, 10 do
  stored[#stored + 1] = store(ARGV[1], ARGV[2], unpack(ARGV, at, at + 9))
end
return stored
