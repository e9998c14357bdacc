-- Cancels or moves a job that waits in the schedule.
--
-- ARGV  job id, time, greatest length of the event stream, new due time or '' to
--       cancel, seconds to keep a cancelled job
-- Returns 0 if the job is not there: it has begun, ended, or never was.
local job, now, most, due = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local body = redis.call('hget', SCHEDULE .. '.msgs', job)
if not body then
  return 0
end
local message = read(body)
if due ~= '' then
  schedule(job, due, body)
  keep_key(message.queue, message, now, due)
  return 1
end
redis.call('zrem', SCHEDULE, job)
redis.call('hdel', SCHEDULE .. '.msgs', job)
cancel(message, now, most, ARGV[5])
return 1
