export const count = {
  'count.viewers': { one: '{count} viewer', other: '{count} viewers' },
  'count.followers': { one: '{count} follower', other: '{count} followers' },
  'count.streams': { one: '{count} stream', other: '{count} streams' },
  'count.streamsOrMore': '{count}+ streams',
  'count.live': '{count} live',
  'count.nobodyLive': 'Nobody live',
  'count.justNow': 'just now',
  'count.underAMinute': 'under a minute',
  'count.minutes': '{minutes} min',
  'count.hours': '{hours} h {minutes} min',
  'count.days': '{days} d {hours} h',
} as const;
