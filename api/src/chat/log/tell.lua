-- Tells a room of something that nobody said.
-- KEYS: the room, its events
-- ARGV: channel, name of the event, fields of the frame, events kept, how long one is kept (ms),
--       the highest epoch in history (empty: not asked for yet, and it is where the order has not begun)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
    if ARGV[6] == '' then return '' end
    epoch = begin(KEYS[1], KEYS[2], now_ms, ARGV[6])
end
local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
local frame = '{"event":"' .. ARGV[2] .. '","data":{"epoch":' .. epoch .. ',"offset":' .. offset .. ',' .. ARGV[3] .. '}'
redis.call('EXPIRE', KEYS[1], 86400)
keep(KEYS[2], epoch, offset, frame, ARGV[4], now_ms, ARGV[5])
redis.call('PUBLISH', ARGV[1], frame)
return frame
