import type { IngestHealth } from '../api/streams.ts';

export interface Advice {
  level: 'good' | 'hint' | 'warning';
  title: string;
  detail: string;
  /** About how much delay for every viewer this setting costs; `null` where it costs something else. */
  costMs: number | null;
}

/**
 * What the encoder's settings cost, in words for a streamer. The server copies the picture as it comes, so most of
 * the delay that is left is decided here. Measured: x264 with B-frames and lookahead delays by about 0.85 s what
 * zerolatency delivers at once.
 */
export function adviseOn(ingest: IngestHealth, now: number): Advice[] {
  const found = [
    ...keyframes(ingest),
    ...bFrames(ingest),
    ...frameRate(ingest),
    ...bitrate(ingest),
    ...dropped(ingest, now),
    ...codecs(ingest),
  ];
  if (found.length > 0 || !measured(ingest)) return found;
  return [
    {
      level: 'good',
      title: 'Your settings are right',
      detail: 'Nothing in what your encoder sends adds delay that could be avoided.',
      costMs: null,
    },
  ];
}

/** The delay that all advice together could save, in milliseconds. */
export const totalCost = (advice: readonly Advice[]) =>
  advice.reduce((sum, { costMs }) => sum + (costMs ?? 0), 0);

/** Right after the start the numbers are zero or missing. */
function measured({ fps, bitrate, keyframeIntervalMs }: IngestHealth): boolean {
  return fps !== null && fps > 0 && bitrate !== null && bitrate > 0 && keyframeIntervalMs !== null;
}

function keyframes({ keyframeIntervalMs: interval }: IngestHealth): Advice[] {
  if (interval === null) return [];
  const seconds = oneDecimal(interval / 1000);
  if (interval > LONG_GOP_MS) {
    return [
      {
        level: 'warning',
        title: `A keyframe only every ${seconds} s`,
        detail:
          'Viewers can join and switch quality only at keyframes, and players without low latency stay three such ' +
          'intervals behind. Set the keyframe interval to 2 s (OBS: Output → Advanced → Keyframe Interval; 0 means “auto” and is too long).',
        costMs: null,
      },
    ];
  }
  if (interval > GOOD_GOP_MS) {
    return [
      {
        level: 'hint',
        title: `A keyframe every ${seconds} s`,
        detail: 'With a keyframe interval of 2 s viewers join faster and change quality sooner.',
        costMs: null,
      },
    ];
  }
  if (interval < SHORT_GOP_MS) {
    return [
      {
        level: 'hint',
        title: `A keyframe every ${seconds} s`,
        detail:
          'Keyframes are large. At the same bitrate an interval of 1 to 2 s looks better and costs no delay.',
        costMs: null,
      },
    ];
  }
  return [];
}

function bFrames({ bFrames: used, fps, videoCodec, encoder }: IngestHealth): Advice[] {
  if (used !== true) return [];
  const frame = 1000 / (fps !== null && fps >= 1 ? fps : 30);
  const hardware = /nvenc|amf|qsv|quick ?sync|videotoolbox|vaapi/i.test(encoder ?? '');
  const x264 = !hardware && /avc|264/i.test(videoCodec ?? 'avc');
  const cost = Math.round((REORDERED_FRAMES + (x264 ? LOOKAHEAD_FRAMES : 0)) * frame);
  return [
    {
      level: 'warning',
      title: 'B-frames hold every picture back',
      detail: x264
        ? 'An encoder that uses B-frames has to see the following pictures first, and x264 then usually looks ahead ' +
          `as well: together about ${inWords(cost)}. Set Tune to “zerolatency” (x264), which turns both off.`
        : `An encoder that uses B-frames has to see the following pictures first: about ${inWords(cost)}. Set B-frames ` +
          'to 0, turn Look-ahead off and choose the tuning “Ultra Low Latency” where there is one.',
      costMs: cost,
    },
  ];
}

function frameRate({ fps }: IngestHealth): Advice[] {
  if (fps === null || fps <= 0 || fps >= LOW_FPS) return [];
  const cost = Math.round(1000 / fps - 1000 / 30);
  return [
    {
      level: 'hint',
      title: `${oneDecimal(fps)} pictures a second`,
      detail: `Each picture waits for the next one. 30 or 60 a second look smoother and save about ${inWords(cost)}.`,
      costMs: cost,
    },
  ];
}

function bitrate({ bitrate: bits, width, height, fps }: IngestHealth): Advice[] {
  if (bits === null || bits <= 0) return [];
  if (bits > HIGH_BITRATE) {
    return [
      {
        level: 'hint',
        title: `${oneDecimal(bits / 1e6)} Mb/s is a lot`,
        detail:
          'Viewers of the source quality need this and some more without a break, or their players buffer and fall ' +
          'behind. Up to 6 Mb/s is plenty for 1080p.',
        costMs: null,
      },
    ];
  }
  if (width === null || height === null || fps === null || width * height * fps <= 0) return [];
  if (bits / (width * height * fps) >= FEW_BITS_PER_PIXEL) return [];
  return [
    {
      level: 'hint',
      title: `${oneDecimal(bits / 1e6)} Mb/s is little for ${width}×${height}`,
      detail:
        'Fast scenes will look blocky. Raise the bitrate, or lower the resolution: 720p at 2.5 Mb/s looks better ' +
        'than 1080p at 2 Mb/s.',
      costMs: null,
    },
  ];
}

function dropped({ droppedFrames, fps, connectedAt }: IngestHealth, now: number): Advice[] {
  if (droppedFrames === null || fps === null || connectedAt === null) return [];
  const seconds = (now - Date.parse(connectedAt)) / 1000;
  const expected = seconds * fps;
  if (!(expected > 0) || droppedFrames / expected < LOST_SHARE) return [];
  const share = oneDecimal((100 * droppedFrames) / expected);
  return [
    {
      level: 'warning',
      title: `${share} % of the pictures got lost`,
      detail:
        'Your upload cannot carry the bitrate all the time. Lower the bitrate by a quarter, or use a cable instead of Wi-Fi.',
      costMs: null,
    },
  ];
}

function codecs(ingest: IngestHealth): Advice[] {
  const { videoCodec, audioCodec } = ingest;
  const advice: Advice[] = [];
  if (videoCodec !== null && /hevc|h\.?265|hvc1|hev1/i.test(videoCodec)) {
    advice.push({
      level: 'hint',
      title: 'Not every browser plays HEVC',
      detail: 'Choose H.264 if everybody should see the source quality.',
      costMs: null,
    });
  }
  if (audioCodec === null && measured(ingest)) {
    advice.push({
      level: 'hint',
      title: 'There is no sound',
      detail: 'Viewers hear silence. In OBS, check that a source in the Audio Mixer is not muted.',
      costMs: null,
    });
  }
  return advice;
}

/** As exactly as an estimate deserves. */
export function inWords(ms: number): string {
  return ms >= 950 ? `${oneDecimal(ms / 1000)} s` : ms >= 100 ? `${Math.round(ms / 50) * 50} ms` : `${ms} ms`;
}

const oneDecimal = (value: number) => String(Math.round(value * 10) / 10);

/** Segments aim at 2 s; an encoder set to 2 s sends 2.0 or one frame more. */
const GOOD_GOP_MS = 2_100;
const LONG_GOP_MS = 4_100;
const SHORT_GOP_MS = 450;
/** Two B-frames in a row are what x264 and OBS use unless told otherwise. */
const REORDERED_FRAMES = 2;
/** x264's lookahead at the presets that people stream with: 10 frames (veryfast) to 20 (faster), plus its threads. */
const LOOKAHEAD_FRAMES = 18;
const LOW_FPS = 23.5;
const HIGH_BITRATE = 8_500_000;
/** Below this H.264 shows blocks in motion at any preset. */
const FEW_BITS_PER_PIXEL = 0.03;
const LOST_SHARE = 0.005;
