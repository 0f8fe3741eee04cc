-- Tells a room of something that nobody said.
-- KEYS: the room, its events
-- ARGV: channel, name of the event, fields of the frame, events kept, how long one is kept (ms)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
    epoch = string.format('%.0f', now_ms)
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', '0')
end
local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
local frame = '{"event":"' .. ARGV[2] .. '","data":{"epoch":' .. epoch .. ',"offset":' .. offset .. ',' .. ARGV[3] .. '}'
redis.call('EXPIRE', KEYS[1], 86400)
keep(KEYS[2], epoch, offset, frame, ARGV[4], now_ms, ARGV[5])
redis.call('PUBLISH', ARGV[1], frame)
return frame
