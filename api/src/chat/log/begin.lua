-- Before the scripts that need a room's order: begins an epoch, later than all that history has. Clocks are wrong at times, and readers
-- sort by epochs.
local function begin(room, events, now_ms, above)
    local epoch = string.format('%.0f', math.max(now_ms, tonumber(above) + 1))
    redis.call('DEL', events)
    redis.call('HSET', room, 'epoch', epoch, 'offset', '0')
    redis.call('EXPIRE', room, 86400)
    return epoch
end

