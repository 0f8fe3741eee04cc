-- Who watches a stream. KEYS[1]: its viewers, by when they were last said to be there. KEYS[2]: what the viewers of each replica
-- told of their latency: when the replica said so, how many they are, and the sum in milliseconds.
-- ARGV: now, when what was said before counts no more, how long the keys last (ms), how many viewers there may be,
-- which replica this is, how many of its viewers told their latency, the sum of these,
-- how many have left, those (what was said of them last, who), and who is there.
-- Returns how many viewers there are, how many of other replicas told their latency, and the sum of these.
local now, oldest, lasts, most, me = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', oldest)
local at = 9
for _ = 1, tonumber(ARGV[8]) do
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
redis.call('PEXPIRE', KEYS[1], lasts)
if tonumber(ARGV[6]) > 0 then
    redis.call('HSET', KEYS[2], me, now .. ' ' .. ARGV[6] .. ' ' .. ARGV[7])
    redis.call('PEXPIRE', KEYS[2], lasts)
else
    redis.call('HDEL', KEYS[2], me)
end
local told, total = 0, 0
local replicas = redis.call('HGETALL', KEYS[2])
for index = 1, #replicas, 2 do
    local said, some, sum = string.match(replicas[index + 1], '^(%-?%d+) (%d+) (%d+)$')
    if not said or tonumber(said) <= tonumber(oldest) then
        redis.call('HDEL', KEYS[2], replicas[index])
    elseif replicas[index] ~= me then
        told, total = told + tonumber(some), total + tonumber(sum)
    end
end
return { redis.call('ZCARD', KEYS[1]), told, total }
