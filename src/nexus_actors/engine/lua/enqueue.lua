-- Stores messages: each on its queue, or in the schedule; and records its job.
--
-- A message whose job is known is left alone: it was sent again since nobody could
-- tell whether it had arrived.  One that has failed may run again; then it is no dead
-- letter any more.
--
-- ARGV  time, greatest length of the event stream, due time or ''; and for each run of
--       messages that have these in common: what `store` calls so, how many; and for
--       each its id, itself, time of its making
-- Returns for each message what `store` does.
local COMMON = 9
local stored = {}
local at = 4
while at < #ARGV do
  local common = {unpack(ARGV, at, at + COMMON - 1)}
  local first = at + COMMON + 1
  local last = first + 3 * tonumber(ARGV[first - 1]) - 1
  local new = 0
  for each = first, last, 3 do
    local answer = store(
      ARGV[1], ARGV[2], ARGV[3], common, unpack(ARGV, each, each + 2)
    )
    stored[#stored + 1] = answer
    new = new + (answer == 1 and 1 or 0)
  end
  if new > 0 then
    tally(common[1], 'enqueued::' .. common[3], new)
  end
  at = last + 1
end
return stored
