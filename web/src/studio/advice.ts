import type { IngestHealth } from '../api/streams.ts';
import { t } from '../language/text.ts';

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
      title: t('advice.right'),
      detail: t('advice.rightWords'),
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
        title: t('advice.keyframesSeldom', { seconds }),
        detail: t('advice.keyframesSeldomWords'),
        costMs: null,
      },
    ];
  }
  if (interval > GOOD_GOP_MS) {
    return [
      {
        level: 'hint',
        title: t('advice.keyframes', { seconds }),
        detail: t('advice.keyframesLongWords'),
        costMs: null,
      },
    ];
  }
  if (interval < SHORT_GOP_MS) {
    return [
      {
        level: 'hint',
        title: t('advice.keyframes', { seconds }),
        detail: t('advice.keyframesShortWords'),
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
      title: t('advice.bFrames'),
      detail: t(x264 ? 'advice.bFramesX264Words' : 'advice.bFramesWords', { time: inWords(cost) }),
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
      title: t('advice.frameRate', { fps: oneDecimal(fps) }),
      detail: t('advice.frameRateWords', { time: inWords(cost) }),
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
        title: t('advice.bitrateHigh', { rate: oneDecimal(bits / 1e6) }),
        detail: t('advice.bitrateHighWords'),
        costMs: null,
      },
    ];
  }
  if (width === null || height === null || fps === null || width * height * fps <= 0) return [];
  if (bits / (width * height * fps) >= FEW_BITS_PER_PIXEL) return [];
  return [
    {
      level: 'hint',
      title: t('advice.bitrateLow', { rate: oneDecimal(bits / 1e6), size: `${width}×${height}` }),
      detail: t('advice.bitrateLowWords'),
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
      title: t('advice.lost', { share }),
      detail: t('advice.lostWords'),
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
      title: t('advice.hevc'),
      detail: t('advice.hevcWords'),
      costMs: null,
    });
  }
  if (audioCodec === null && measured(ingest)) {
    advice.push({
      level: 'hint',
      title: t('advice.silent'),
      detail: t('advice.silentWords'),
      costMs: null,
    });
  }
  return advice;
}

/** As exactly as an estimate deserves. */
export function inWords(ms: number): string {
  if (ms >= 950) return t('advice.seconds', { seconds: oneDecimal(ms / 1000) });
  return t('advice.milliseconds', { ms: ms >= 100 ? Math.round(ms / 50) * 50 : ms });
}

const oneDecimal = (value: number) => Math.round(value * 10) / 10;

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
