-- The end of a room's order.
-- KEYS: the room, its events
-- ARGV: events kept, how long one is (ms), whether the order begins with this, if not before
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local room = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
if not room[1] then
    if ARGV[3] ~= '1' then return { '0', '0', {} } end
    room = { string.format('%.0f', now_ms), '0' }
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', room[1], 'offset', room[2])
    redis.call('EXPIRE', KEYS[1], 86400)
end
local frames = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[1])) do
    local at = tonumber(entry[2][4])
    if at and now_ms - at >= tonumber(ARGV[2]) then break end
    table.insert(frames, 1, entry[2][2])
end
return { room[1], room[2], frames }
