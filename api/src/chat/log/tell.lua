-- Tells a room of something that nobody said.
-- KEYS: the room, its events
-- ARGV: channel, name of the event, fields of the frame, events kept
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
    local time = redis.call('TIME')
    epoch = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', '0')
end
local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
local frame = '{"event":"' .. ARGV[2] .. '","data":{"epoch":' .. epoch .. ',"offset":' .. offset .. ',' .. ARGV[3] .. '}'
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], epoch .. '-' .. offset, 'frame', frame)
redis.call('EXPIRE', KEYS[2], 600)
redis.call('PUBLISH', ARGV[1], frame)
return frame
