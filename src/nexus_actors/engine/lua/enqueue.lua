-- Stores messages: each on its queue, or in the schedule; and records its job.
--
-- A message whose job is known is left alone: it was sent again since nobody could
-- tell whether it had arrived.  One that has failed may run again; then it is no dead
-- letter any more.
--
-- ARGV  time, greatest length of the event stream, due time or ''; and for each run of
--       messages that have these in common: queue, '1' if they are tracked, actor,
--       priority, event body, how many; and for each its id, itself, time of its making
-- Returns for each message 1 if it was stored.
local stored = {}
local at = 4
while at < #ARGV do
  local queue, tracked, actor, priority, told = unpack(ARGV, at, at + 4)
  local last = at + 5 + 3 * tonumber(ARGV[at + 5])
  for each = at + 6, last, 3 do
    stored[#stored + 1] = store(
      ARGV[1], ARGV[2], ARGV[3], queue, tracked, actor, priority, told,
      unpack(ARGV, each, each + 2)
    )
  end
  at = last + 1
end
return stored
