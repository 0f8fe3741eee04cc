-- Who watches a stream. KEYS[1]: its viewers, by when they were last said to be there.
-- ARGV: now, when what was said before counts no more, how long the key lasts (ms), how many there may be,
-- how many have left, those (what was said of them last, who), and who is there.
local now, oldest, most = ARGV[1], ARGV[2], tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', oldest)
local at = 6
for _ = 1, tonumber(ARGV[5]) do
    -- A replica that has said something since has them there.
    local said = redis.call('ZSCORE', KEYS[1], ARGV[at + 1])
    if said and tonumber(said) == tonumber(ARGV[at]) then
        redis.call('ZREM', KEYS[1], ARGV[at + 1])
    end
    at = at + 2
end
local room = most - redis.call('ZCARD', KEYS[1])
for index = at, #ARGV do
    if room > 0 then
        room = room - redis.call('ZADD', KEYS[1], 'GT', now, ARGV[index])
    else
        redis.call('ZADD', KEYS[1], 'XX', 'GT', now, ARGV[index])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZCARD', KEYS[1])
