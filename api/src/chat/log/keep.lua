-- Before the scripts that give out positions: keeps an event for those who come back, and lets go of old ones, a few at a time, which is
-- more than are added. Entries of the version before do not say when they came, and go by their number.
local function keep(events, epoch, offset, frame, most, now_ms, lasts_ms)
    redis.call('XADD', events, 'MAXLEN', most, epoch .. '-' .. offset, 'frame', frame, 'at', string.format('%.0f', now_ms))
    redis.call('PEXPIRE', events, lasts_ms)
    for _, entry in ipairs(redis.call('XRANGE', events, '-', '+', 'COUNT', 8)) do
        local at = tonumber(entry[2][4])
        if at and now_ms - at < tonumber(lasts_ms) then break end
        if at then redis.call('XDEL', events, entry[1]) end
    end
end

