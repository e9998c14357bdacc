-- Cancels or moves a job that waits in the schedule.
--
-- ARGV  job id, time, greatest length of the event stream, new due time or '' to
--       cancel, seconds to keep a cancelled job, the message, the same with its new
--       due time
-- Returns 0 if the job is not there: it has begun, ended, or never was; -1 if its
-- message is another.
local job, now, most, due = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local body = redis.call('hget', SCHEDULE .. '.msgs', job)
if not body then
  return 0
end
if body ~= ARGV[6] then
  return -1
end
local message = read(body)
if due ~= '' then
  schedule(message.queue, job, due, ARGV[7])
  keep_key(message.queue, message, now, due)
  return 1
end
unschedule(message.queue, job)
cancel(message, now, most, ARGV[5])
return 1
