-- The end of a room's order.
-- KEYS: the room, its events
-- ARGV: events kept, how long one is (ms), whether the order begins with this, if not before,
--       the highest epoch in history (empty: not asked for yet, and it is where the order has not begun),
--       epoch and offset that were known (empty: none)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local room = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
if not room[1] then
    if ARGV[3] ~= '1' or ARGV[4] == '' then return { '0', '0', {} } end
    room = { begin(KEYS[1], KEYS[2], now_ms, ARGV[4]), '0' }
elseif room[1] == ARGV[5] and tonumber(room[2]) < tonumber(ARGV[6]) then
    -- Redis came back without the end of what it had, and gives out positions that others have. All replicas that notice get the same.
    room = { begin(KEYS[1], KEYS[2], now_ms, room[1]), '0' }
end
local frames = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[1])) do
    local at = tonumber(entry[2][4])
    if at and now_ms - at >= tonumber(ARGV[2]) then break end
    table.insert(frames, 1, entry[2][2])
end
return { room[1], room[2], frames }
