-- The end of a room's order; a room begins with the first look.
-- KEYS: the room, its events
-- ARGV: events kept
local room = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
if not room[1] then
    local time = redis.call('TIME')
    room = { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), '0' }
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', room[1], 'offset', room[2])
    redis.call('EXPIRE', KEYS[1], 86400)
end
local frames = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[1])) do
    table.insert(frames, 1, entry[2][2])
end
return { room[1], room[2], frames }
