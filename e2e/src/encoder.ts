import { Program } from './process.ts';

/** What an encoder is set to. */
export interface EncoderSettings {
  size?: string;
  fps?: number;
  /** Frames from one keyframe to the next. */
  gop?: number;
  audio?: boolean;
  video?: boolean;
  bFrames?: number;
  /** Stops by itself after so many seconds. */
  seconds?: number;
  bitrate?: string;
}

/** ffmpeg as a streamer's encoder: test picture and tone, in real time, to an RTMP address. */
export function encode(url: string, settings: EncoderSettings = {}): Program {
  const { size = '1280x720', fps = 30, gop = 60, audio = true, video = true, bFrames = 0, seconds, bitrate = '2500k' } = settings;
  return new Program('ffmpeg', [
    '-hide_banner', '-loglevel', 'info', '-nostdin',
    ...(video ? ['-re', '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${fps}`] : []),
    ...(audio ? ['-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'] : []),
    ...(seconds === undefined ? [] : ['-t', String(seconds)]),
    ...(video
      ? ['-c:v', 'libx264', '-preset', 'ultrafast', ...(bFrames ? ['-bf', String(bFrames)] : ['-tune', 'zerolatency']),
         '-pix_fmt', 'yuv420p', '-g', String(gop), '-keyint_min', String(gop), '-sc_threshold', '0',
         '-b:v', bitrate, '-maxrate', bitrate, '-bufsize', bitrate]
      : []),
    ...(audio ? ['-c:a', 'aac', '-b:a', '128k', '-ac', '2'] : []),
    '-f', 'flv', url,
  ]);
}

/** GStreamer's own RTMP implementation, with a small test picture and tone. SIGINT makes it say good-bye. */
export function gstreamer(url: string): Program {
  return new Program('gst-launch-1.0', [
    '-e', '-q',
    'videotestsrc', 'is-live=true', 'pattern=ball', '!', 'video/x-raw,width=320,height=180,framerate=25/1',
    '!', 'x264enc', 'tune=zerolatency', 'speed-preset=ultrafast', 'key-int-max=50', 'bitrate=300',
    '!', 'h264parse', '!', 'flvmux', 'name=mux', 'streamable=true', '!', 'rtmp2sink', `location=${url}`,
    'audiotestsrc', 'is-live=true', '!', 'audio/x-raw,rate=48000,channels=2', '!', 'voaacenc', '!', 'aacparse', '!', 'mux.',
  ]);
}
