// The mission's load test: people who watch one broadcast as plain HLS, at the pace at which it is made, each with a socket in its
// room, where a few of them talk. bench/src/load.ts starts what it is aimed at; see there for the variables.
import http from 'k6/http';
import { WebSocket } from 'k6/websockets';
import { Counter, Rate, Trend } from 'k6/metrics';

const VIEWERS = Number(__ENV.VIEWERS);
const RAMP_S = Number(__ENV.RAMP_SECONDS);
const SECONDS = Number(__ENV.SECONDS);
const MASTER = __ENV.MASTER;
const ROOM = __ENV.ROOM;
/** Each comes from an address of its own, as a proxy names them: of one address not so many are counted as viewers. */
const FROM = { 'X-Forwarded-For': `10.1.${__VU >> 8}.${__VU & 255}` };
/** Of those who talk: the first viewers. */
const TOKENS = JSON.parse(open(__ENV.TOKENS));
/** Of each of them, which is as often as the room's limits let one go on talking. */
const SAYS_EVERY_S = 2;

const failed = new Rate('watch_failed');
const playlists = new Trend('playlist_ms', true);
const segments = new Trend('segment_ms', true);
const fetched = new Counter('segments_fetched');
const stalls = new Counter('stalls');
const late = new Trend('chat_late_ms', true);
const joins = new Trend('chat_join_ms', true);
const said = new Counter('chat_said');
const refused = new Counter('chat_refused');
const heard = new Counter('chat_heard');
const missed = new Counter('chat_missed');
const away = new Counter('chat_away');

export const options = {
  scenarios: {
    viewers: { executor: 'per-vu-iterations', vus: VIEWERS, iterations: 1, maxDuration: `${RAMP_S + SECONDS + 60}s`, gracefulStop: '0s' },
  },
  thresholds: {
    watch_failed: ['rate<0.001'],
    stalls: ['count<1'],
    chat_refused: ['count<1'],
    chat_missed: ['count<1'],
    chat_away: ['count<1'],
    chat_late_ms: ['p(99)<250'],
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max', 'count'],
  discardResponseBodies: true,
};

export default async function () {
  const from = Date.now();
  // Spread evenly: a crowd does not come in one moment.
  const comes = (RAMP_S * 1000 * (__VU - 1)) / VIEWERS;
  const until = from + (RAMP_S + SECONDS) * 1000;
  await passed(comes);
  const socket = enter(TOKENS[__VU - 1], until);
  await watch(until);
  socket.leave();
}

/** Fetches all that a plain player would, until the time has come. */
async function watch(until) {
  const master = await get(MASTER, 'playlist');
  if (master === null) return;
  const variant = lines(master.body)[0];
  let last = -1;
  /** How much media is there to be shown before the picture stands still, from when on. */
  let media = 0;
  let began = 0;
  while (Date.now() < until) {
    const asked = Date.now();
    const answer = await get(resolve(variant, master.url), 'playlist');
    const playlist = answer && read(answer.body);
    if (playlist === null) {
      await passed(1000);
      continue;
    }
    let next = playlist.segments.filter(({ number }) => number > last);
    // RFC 8216, 6.3.3: a player begins three target durations before the end.
    if (last < 0) {
      let behind = 0;
      const first = next.findLastIndex(({ duration }) => (behind += duration) >= 3 * playlist.target);
      next = next.slice(Math.max(0, first));
    }
    for (const { number, duration, uri } of next) {
      last = number;
      if ((await get(resolve(uri, answer.url), 'segment')) === null) continue;
      fetched.add(1);
      if (began === 0) began = Date.now();
      if (media > 0 && Date.now() - began > media * 1000) {
        stalls.add(1);
        began = Date.now() - media * 1000;
      }
      media += duration;
    }
    if (playlist.ended) return;
    // RFC 8216, 6.3.4: a target duration after a playlist with something new, else half of it.
    await passed(Math.max(0, asked + (next.length ? 1000 : 500) * playlist.target - Date.now()));
  }
}

/** Joins the room, and talks in it where there is a token. */
function enter(token, until) {
  const began = Date.now();
  const socket = new WebSocket(ROOM, null, { headers: FROM });
  let position;
  let frames = 0;
  let isLeaving = false;
  let timer;
  const send = (event, data) => socket.send(JSON.stringify({ event, data, id: (frames += 1) }));
  const say = () => {
    if (Date.now() < until) send('send_message', { message: `${Date.now()} ${__VU}`, clientMsgId: `${__VU}-${frames}` });
  };
  socket.onmessage = ({ data: text }) => {
    const { event, data } = JSON.parse(text);
    if (event === 'joined') {
      joins.add(Date.now() - began);
      position = data.offset;
      if (token) send('authenticate', { token });
    } else if (event === 'ack') {
      if (!data.ok) refused.add(1, { code: data.code });
      else if (data.message) {
        said.add(1);
        takes(data.message.offset);
      } else {
        // Not all at once.
        setTimeout(() => {
          say();
          timer = setInterval(say, SAYS_EVERY_S * 1000);
        }, (SAYS_EVERY_S * 1000 * __VU) / TOKENS.length);
      }
    } else if (event === 'new_message') {
      late.add(Date.now() - Number(data.message.split(' ')[0]));
      heard.add(1);
      takes(data.offset);
    } else if (data.offset !== undefined) {
      takes(data.offset);
    }
  };
  // An answer may overtake what was said before it.
  const ahead = new Set();
  const takes = (offset) => {
    ahead.add(offset);
    while (ahead.delete(position + 1)) position += 1;
  };
  socket.onclose = () => {
    clearInterval(timer);
    if (!isLeaving) away.add(1);
    // What has a number above a gap is here, and what is in the gap never came.
    if (ahead.size > 0) missed.add(Math.max(...ahead) - position - ahead.size);
  };
  socket.onerror = () => {};
  return {
    leave() {
      isLeaving = true;
      clearInterval(timer);
      socket.close();
    },
  };
}

/** An answer with its time, or null where there is none that is good. */
async function get(url, kind) {
  const answer = await http.asyncRequest('GET', url, null, {
    responseType: kind === 'playlist' ? 'text' : 'none',
    headers: FROM,
    tags: { name: kind },
    timeout: '10s',
  });
  const isGood = answer.status === 200;
  failed.add(!isGood);
  (kind === 'playlist' ? playlists : segments).add(answer.timings.duration);
  return isGood ? answer : null;
}

/** What a plain player reads of a media playlist: no parts. Gaps have no media. */
function read(text) {
  const tag = (name) => Number(new RegExp(`^#EXT-X-${name}:(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  let number = tag('MEDIA-SEQUENCE');
  let duration = 0;
  let isGap = false;
  const found = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('#EXTINF:')) duration = parseFloat(line.slice(8));
    else if (line === '#EXT-X-GAP') isGap = true;
    else if (line !== '' && !line.startsWith('#')) {
      if (!isGap) found.push({ number, duration, uri: line });
      number += 1;
      isGap = false;
    }
  }
  return { segments: found, target: tag('TARGETDURATION') || 2, ended: text.includes('#EXT-X-ENDLIST') };
}

function lines(text) {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

/** k6 has no URL. */
function resolve(relative, base) {
  if (/^https?:/.test(relative)) return relative;
  const [, origin, path] = /^(https?:\/\/[^/]+)([^?]*)/.exec(base);
  return relative.startsWith('/') ? origin + relative : origin + path.slice(0, path.lastIndexOf('/') + 1) + relative;
}

function passed(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

export function handleSummary(data) {
  return { [__ENV.SUMMARY]: JSON.stringify(data) };
}
