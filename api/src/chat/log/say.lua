-- Accepts a message, as policy.rs and in_process.rs do in one process. Times are microseconds by Redis' own clock.
-- KEYS: the room, its events, the talker, the try, what is to be written to PostgreSQL, what is not said twice
-- ARGV: channel, fields of the frame, row for PostgreSQL, hash of the words, whether the try has a name,
--       burst, window, gap, same (µs), room (a second), events kept, rows that may wait,
--       slow (µs), whether nobody may have said it (off, remember, demand), hash of what is compared, lately (µs), how many are remembered,
--       how long a talker is (ms), how long an event is kept (ms),
--       the highest epoch in history (empty: not asked for yet, and it is where the order has not begun)
local channel, fields, row, words, named = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local burst, window, gap, same = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local per_second, kept, waiting = tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12])
local slow, unique, compared = tonumber(ARGV[13]), ARGV[14], ARGV[15]
local lately, most, remembered = tonumber(ARGV[16]), tonumber(ARGV[17]), ARGV[18]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function within(at, span)
    local passed = at and now - tonumber(at)
    return passed and passed >= 0 and passed < span and passed
end

-- When the bucket is full again, and how long to wait where it is too early; then nothing has counted, and a bucket that was left ahead
-- by a clock that was set back has come back.
local function count(stored, most, span)
    local interval = span / most
    local before = math.min(math.max(tonumber(stored or '0'), now), now + span)
    local early = before + interval - now - span
    if early > 0 then return string.format('%.0f', before), string.format('%.0f', math.ceil(early)) end
    return string.format('%.0f', before + interval)
end

if named then
    local known = redis.call('GET', KEYS[4])
    if known then return { 'ok', known } end
end
if redis.call('XLEN', KEYS[5]) >= waiting then return { 'unavailable' } end
if unique == 'demand' and within(redis.call('ZSCORE', KEYS[6], compared), lately) then return { 'not_unique' } end
local talker = redis.call('HMGET', KEYS[3], 'full_at', 'last', 'words', 'said_at')
if talker[3] == words and within(talker[4], same) then return { 'repeated' } end
local passed = within(talker[2], slow)
if passed then return { 'slow', string.format('%.0f', slow - passed) } end
passed = within(talker[2], gap)
if passed then return { 'too_fast', string.format('%.0f', gap - passed) } end
local room = redis.call('HMGET', KEYS[1], 'epoch', 'pace')
if not room[1] and ARGV[20] == '' then return { 'not_begun' } end
local pace, busy = count(room[2], per_second, 1000000)
if busy then
    redis.call('HSET', KEYS[1], 'pace', pace)
    return { 'room_busy', busy }
end
local full_at, early = count(talker[1], burst, window)
if early then
    redis.call('HSET', KEYS[3], 'full_at', full_at)
    redis.call('PEXPIRE', KEYS[3], remembered)
    return { 'too_fast', early }
end

local epoch = room[1]
if not epoch then
    epoch = begin(KEYS[1], KEYS[2], math.floor(now / 1000), ARGV[20])
end
local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
local frame = '{"event":"new_message","data":{"epoch":' .. epoch .. ',"offset":' .. offset .. ',' .. fields .. '}'
local now_text = string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'pace', pace)
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('HSET', KEYS[3], 'full_at', full_at, 'last', now_text, 'words', words, 'said_at', now_text)
redis.call('PEXPIRE', KEYS[3], remembered)
if unique ~= 'off' then
    redis.call('ZADD', KEYS[6], now_text, compared)
    redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', string.format('(%.0f', now - lately))
    redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -most - 1)
    redis.call('PEXPIRE', KEYS[6], math.ceil(lately / 1000))
end
keep(KEYS[2], epoch, offset, frame, kept, math.floor(now / 1000), ARGV[19])
redis.call('XADD', KEYS[5], '*', 'row', row, 'epoch', epoch, 'offset', offset)
if named then redis.call('SET', KEYS[4], frame, 'EX', 600) end
redis.call('PUBLISH', channel, frame)
return { 'ok', frame }
