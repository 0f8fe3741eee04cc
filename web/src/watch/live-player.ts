import Hls, { ErrorTypes, Events, PlaylistLevelType, type ErrorData } from 'hls.js';
import { bandwidthMemory } from './bandwidth-memory.ts';
import { endOfRange, nextRange } from './buffered-ranges.ts';
import { estimateLatency, type LatencyEstimate } from './latency-estimate.ts';
import { LatencyController } from './latency-controller.ts';
import { MEDIA_POLICY, PLAYLIST_POLICY, UNANSWERED } from './load-policies.ts';
import { MasterAddress } from './master-address.ts';
import { watchSleep } from './page-sleep.ts';
import { watchPictures } from './picture-watch.ts';
import type { Place, PlayerSnapshot } from './player-snapshot.ts';
import { PruningBufferController } from './pruned-tracker.ts';
import { faultOf, qualities, QualityChoice } from './quality-choice.ts';
import { Recovery, type Remedy } from './recovery.ts';
import { Rest } from './rest.ts';
import { seconds } from './steady-clock.ts';

/**
 * Plays one live stream into one `<video>`: hls.js for everything that it does well, our latency controller for the
 * distance to now, and recovery that does not give up. Where there is no MediaSource of any kind (old iPhones) the
 * browser's own HLS player takes over, without qualities and latency control.
 */
export class LivePlayer {
  readonly #video: HTMLVideoElement;
  readonly #address: MasterAddress;
  readonly #recovery = new Recovery();
  readonly #choice = new QualityChoice();
  readonly #rest = new Rest();
  readonly #listening = new AbortController();
  readonly #ticker: number;

  #hls: Hls | null = null;
  #controller = new LatencyController(USUAL_PART);
  readonly #sight: { readonly watched: boolean };
  #pending: number | undefined;
  #mediaEnded = false;
  #started = false;
  #stalls = 0;
  #stalledSince: number | null = null;
  #following = true;
  #movedAt = 0;
  #answeredAt = seconds();
  #fedAt = seconds();
  #position = -1;
  #lastJump = 0;
  #holeSince: number | null = null;
  #switchedAt: number | null = null;
  #pictures = 0;
  #pictureAt = 0;
  #idleSince: number | null = null;

  constructor(video: HTMLVideoElement, url: string) {
    this.#video = video;
    this.#address = new MasterAddress(new URL(url, location.href));
    const { signal } = this.#listening;
    video.addEventListener('waiting', () => this.#waiting(), { signal });
    video.addEventListener('playing', () => this.#playing(), { signal });
    // hls.js, too, steps over holes.
    video.addEventListener('seeking', () => this.#stalledSince !== null && this.#controller.rejoin(), {
      signal,
    });
    this.#sight = watchPictures(video, signal, (missing) => this.#controller.faltered(missing));
    video.addEventListener('ended', () => (this.#mediaEnded = true), { signal });
    video.addEventListener('play', () => this.#goOnLoading(), { signal });
    watchSleep(video, () => this.resume(), signal);
    this.#ticker = window.setInterval(() => this.#tick(), TICK_MS);
    if (Hls.isSupported()) this.#start();
    else this.#startNative();
  }

  /** False where the browser has neither a MediaSource of any kind nor HLS of its own. */
  static canPlay(video: HTMLVideoElement): boolean {
    return Hls.isSupported() || video.canPlayType('application/vnd.apple.mpegurl') !== '';
  }

  destroy(): void {
    window.clearInterval(this.#ticker);
    window.clearTimeout(this.#pending);
    this.#listening.abort();
    this.#stop();
    this.#video.removeAttribute('src');
    this.#video.load();
  }

  snapshot(): PlayerSnapshot {
    const hls = this.#hls;
    // Who is not asked owes no answer.
    const asked = this.#rest.resting ? seconds() : -Infinity;
    return {
      started: this.#started,
      soundOnly: this.#started && this.#video.videoWidth === 0,
      paused: this.#video.paused,
      movedAt: this.#movedAt,
      answeredAt: Math.max(this.#answeredAt, asked),
      fedAt: Math.max(this.#fedAt, asked),
      playedToTheEnd: this.#mediaEnded,
      latency: this.latency(),
      buffered: this.#bufferedAhead(),
      target: this.#controller.target,
      rate: this.#video.playbackRate,
      stalls: this.#stalls,
      following: this.#following,
      qualities: hls === null ? [] : qualities(hls.levels),
      chosen: hls?.manualLevel ?? -1,
      level: hls?.currentLevel ?? -1,
    };
  }

  latency(): LatencyEstimate | null {
    if (!this.#started) return null;
    const date = this.#playingDate();
    const byClock = date === null ? null : (Date.now() - date) / 1000;
    // While the playlist stands still the edge is a guess that runs away from the truth.
    const details = this.#hls?.latestLevelDetails;
    const edge = details && details.age < FRESH_PLAYLIST ? (this.#hls?.latency ?? null) : null;
    return estimateLatency(byClock, edge);
  }

  /**
   * When the server received what is on the screen (PROGRAM-DATE-TIME, RFC 3339), from which it knows how late that is. `null`
   * while nothing plays live.
   */
  playhead(): string | null {
    if (!this.#started || !this.#following || this.#video.paused) return null;
    const date = new Date(this.#playingDate() ?? Number.NaN);
    return Number.isNaN(date.getTime()) ? null : date.toISOString();
  }

  /** Resolves to false where the browser wants a click first. */
  async play(): Promise<boolean> {
    try {
      await this.#video.play();
      return true;
    } catch (error) {
      // Anything else (a load that replaced this one) settles itself.
      return !(error instanceof DOMException && error.name === 'NotAllowedError');
    }
  }

  /** After a pause a live stream goes on at now, not where it was left. */
  resume(): void {
    this.goLive();
    void this.play();
  }

  pause(): void {
    this.#video.pause();
  }

  get place(): Place {
    const { paused, currentTime: position } = this.#video;
    return { paused, position, following: this.#following };
  }

  /** As if nothing had been pressed since. */
  goBackTo(place: Place): void {
    this.#following = place.following;
    if (!place.paused) {
      void this.play();
      return;
    }
    this.pause();
    this.#video.currentTime = place.position;
  }

  goLive(): void {
    this.#following = true;
    this.#controller.rejoin();
    const video = this.#video;
    const end = this.#bufferedEnd();
    const edge = this.#hls?.liveSyncPosition ?? null;
    if (edge !== null && edge > end + 1) video.currentTime = edge;
    else if (end - video.currentTime > this.#controller.target)
      video.currentTime = end - this.#controller.target;
  }

  /** Back in time, as far as the buffer goes; forward again ends at now. */
  seekBy(delta: number): void {
    const video = this.#video;
    const { buffered } = video;
    if (buffered.length === 0) return;
    const to = video.currentTime + delta;
    if (to >= this.#bufferedEnd() - this.#controller.target - NEARLY_LIVE) {
      this.goLive();
      return;
    }
    this.#following = false;
    video.playbackRate = 1;
    video.currentTime = Math.max(to, buffered.start(0));
  }

  /** -1 lets the player choose. What is buffered is played out first, so a change never stops the picture. */
  choose(level: number): void {
    if (this.#hls === null) return;
    this.#choice.choose(this.#hls.levels[level]);
    this.#hls.loadLevel = level;
  }

  /** The api says that the stream is back: do not wait for the next try. */
  hurry(): void {
    if (this.#pending === undefined) return;
    window.clearTimeout(this.#pending);
    this.#pending = undefined;
    this.#restart();
  }

  #start(): void {
    const hls = new Hls({
      lowLatencyMode: true,
      // Two hands on one wheel: the rate is our controller's alone.
      maxLiveSyncPlaybackRate: 1,
      liveSyncOnStallIncrease: 0,
      // Removing old media makes hls.js 1.7.4 forget the parts of the segment that is just being appended, and then it
      // waits for them at the segment's end until they have left the playlist: seconds of stall, every few minutes.
      // Browsers drop old media by themselves when their buffer is full, and then hls.js is made to forget it too.
      backBufferLength: Infinity,
      bufferController: PruningBufferController,
      // Without this the first error takes a chosen quality back.
      preserveManualLevelOnError: true,
      maxBufferLength: 20,
      // Media comes as CMAF and is passed through; a worker would need `blob:` in the Content-Security-Policy.
      enableWorker: false,
      abrEwmaDefaultEstimate: bandwidthMemory.recall() ?? FIRST_BANDWIDTH,
      playlistLoadPolicy: { default: PLAYLIST_POLICY },
      fragLoadPolicy: { default: MEDIA_POLICY },
    });
    this.#hls = hls;
    this.#rest.ends();
    hls.on(Events.MANIFEST_LOADED, (_, { url }) => this.#address.loaded(url));
    hls.on(Events.MANIFEST_PARSED, () => {
      const chosen = this.#choice.indexIn(hls.levels);
      if (chosen >= 0) hls.loadLevel = chosen;
    });
    hls.on(Events.LEVEL_LOADED, (_, { details }) => {
      this.#answeredAt = seconds();
      this.#controller.setPart(details.partTarget || details.targetduration);
    });
    hls.on(Events.FRAG_LOADED, () => (this.#answeredAt = seconds()));
    hls.on(Events.BUFFER_APPENDED, () => (this.#fedAt = seconds()));
    hls.on(Events.LEVEL_SWITCHED, () => (this.#switchedAt = seconds()));
    hls.on(Events.FRAG_BUFFERED, (_, { frag }) => {
      bandwidthMemory.keep(hls.bandwidthEstimate);
      if (frag.type === PlaylistLevelType.MAIN) this.#choice.buffered(hls.levels[frag.level]);
    });
    hls.on(Events.ERROR, (_, error) => this.#failed(hls, error));
    hls.loadSource(this.#address.current);
    hls.attachMedia(this.#video);
  }

  #startNative(): void {
    this.#video.src = this.#address.current;
    const { signal } = this.#listening;
    this.#video.addEventListener('loadedmetadata', () => this.#address.loaded(), { signal });
    this.#video.addEventListener(
      'progress',
      () => {
        this.#answeredAt = seconds();
        this.#fedAt = seconds();
      },
      { signal },
    );
    const failed = () => {
      this.#address.failed();
      this.#apply(this.#recovery.networkError());
    };
    this.#video.addEventListener('error', failed, { signal });
  }

  #stop(): void {
    this.#hls?.destroy();
    this.#hls = null;
  }

  #restart(): void {
    this.#controller.rejoin();
    this.#following = true;
    this.#replaceMedia(() => {
      if (Hls.isSupported()) {
        this.#stop();
        this.#start();
      } else {
        this.#video.src = this.#address.current;
      }
    });
  }

  /** An element whose media is taken away pauses; it plays on only if the viewer had it playing. */
  #replaceMedia(replace: () => void): void {
    const { paused } = this.#video;
    replace();
    if (!paused) void this.play();
  }

  #failed(hls: Hls, error: ErrorData): void {
    // Any status is a sign of life, even a refusal.
    if ((error.response?.code ?? 0) > 0) this.#answeredAt = seconds();
    else if (UNANSWERED.has(error.details)) this.#answeredAt = -Infinity;
    const failed = faultOf(error);
    // Then hls.js finds another quality by itself.
    if (failed !== null && this.#choice.failed(hls.levels[failed.level], failed.fault, seconds()))
      hls.loadLevel = -1;
    if (!error.fatal || hls !== this.#hls || this.#pending !== undefined) return;
    if (error.type === ErrorTypes.NETWORK_ERROR) {
      const remedy = this.#recovery.networkError();
      const withoutManifest = hls.levels.length === 0;
      if (withoutManifest) this.#address.failed();
      // Without a manifest there is nothing to resume.
      this.#apply(remedy.do === 'resume' && withoutManifest ? { ...remedy, do: 'restart' } : remedy);
    } else {
      this.#apply(this.#recovery.mediaError(seconds()));
    }
  }

  #apply(remedy: Remedy): void {
    if (remedy.do === 'recover-media') {
      this.#replaceMedia(() => this.#hls?.recoverMediaError());
      return;
    }
    this.#pending = window.setTimeout(() => {
      this.#pending = undefined;
      if (remedy.do === 'resume' && this.#hls !== null) this.#hls.startLoad();
      else this.#restart();
    }, remedy.delay * 1000);
  }

  #waiting(): void {
    if (!this.#started || this.#video.seeking || this.#video.paused) return;
    this.#stalls += 1;
    this.#stalledSince = seconds();
    this.#controller.stalled(this.#stalledSince);
  }

  #playing(): void {
    this.#started = true;
    this.#stalledSince = null;
  }

  #tick(): void {
    const video = this.#video;
    const now = seconds();
    if (video.currentTime !== this.#position) {
      this.#position = video.currentTime;
      if (this.#started && !video.seeking && !video.paused) {
        this.#movedAt = now;
        this.#recovery.playing();
      }
    }
    const stuck = now - this.#movedAt > STILL && this.#bufferedAhead() > PLENTY;
    if (this.#rest.begins(video.paused || stuck, now)) this.#hls?.stopLoad();
    else if (!video.paused && !stuck) this.#goOnLoading();
    if (!this.#started || video.paused || !this.#following || this.#hls === null) return;
    if (this.#leaveHole(now) || video.seeking) return;
    this.#showSwitch(now);
    this.#wake(this.#hls, now);
    if (this.#stalledSince === null && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA)
      this.#steer(now);
  }

  #goOnLoading(): void {
    if (!this.#rest.ends()) return;
    // The silence was ours.
    this.#answeredAt = this.#fedAt = seconds();
    this.#hls?.startLoad();
  }

  #steer(now: number): void {
    const video = this.#video;
    const ahead = this.#bufferedAhead();
    const { rate, seekBy } = this.#controller.playing(now, ahead, this.#sight.watched);
    if (Math.abs(video.playbackRate - rate) > 0.001) video.playbackRate = rate;
    if (seekBy > 0) this.#jump(video.currentTime + seekBy, now);
    else this.#skipAhead(now, ahead);
  }

  /** Far behind and with nothing buffered to seek in: what is left out would never have been caught up. */
  #skipAhead(now: number, ahead: number): void {
    const hls = this.#hls;
    const details = hls?.latestLevelDetails;
    if (!hls || !details?.live || now - this.#lastJump < JUMP_PAUSE) return;
    const behind = details.edge - this.#video.currentTime;
    const sync = hls.liveSyncPosition;
    if (sync === null || behind < Math.max(HOPELESS, 2 * details.targetduration) || ahead > behind / 2)
      return;
    this.#controller.rejoin();
    this.#jump(sync, now);
  }

  /**
   * hls.js has several ways of losing its place at a segment's end (its issue 5028 is one, the comment at
   * `backBufferLength` another): the playlist goes on and nothing is loaded. From behind that end it finds its way.
   */
  #wake(hls: Hls, now: number): void {
    const details = hls.latestLevelDetails;
    const end = this.#rangeEnd();
    // In a hole there is no end to step over: one step more would lead deeper into it.
    const missing = details?.live === true && end !== null ? details.edge - end : 0;
    const idle =
      hls.inFlightFragments.main.state === 'IDLE' && missing > Math.max(2 * (details?.partTarget ?? 0), 0.3);
    if (!idle || now - this.#lastJump < JUMP_PAUSE) this.#idleSince = null;
    else if (this.#idleSince === null) this.#idleSince = now;
    else if (end !== null && now - this.#idleSince > IDLE_PATIENCE) this.#jump(end + PAST_THE_END, now);
  }

  /**
   * A hole in the timeline, where the streamer's frames are missing, never fills: the picture goes on behind it as
   * soon as something is there. Chromium plays the sound of a hole and calls that playing, and a seek into one never
   * ends; so what counts is where the position is, not whether the element says that it waits. True while it is in
   * front of or in a hole.
   */
  #leaveHole(now: number): boolean {
    const { buffered, currentTime } = this.#video;
    const stuck = this.#stalledSince !== null || this.#rangeEnd() === null;
    const next = stuck ? nextRange(buffered, currentTime) : null;
    if (next === null) {
      this.#holeSince = null;
      return false;
    }
    this.#holeSince ??= now;
    if (now - this.#holeSince >= HOLE_PATIENCE) {
      this.#holeSince = null;
      this.#controller.rejoin();
      this.#jump(next + 0.01, now);
    }
    return true;
  }

  /**
   * A new quality begins with its segment's first frame, which may lie behind the picture. Chromium then waits for the
   * next keyframe with the sound going on; a seek to where it is makes it decode from the one that is there.
   */
  #showSwitch(now: number): void {
    const pictures = this.#video.getVideoPlaybackQuality().totalVideoFrames;
    if (pictures !== this.#pictures) {
      this.#pictures = pictures;
      this.#pictureAt = now;
    }
    if (this.#switchedAt === null) return;
    if (now - this.#switchedAt > SWITCH_WATCH) this.#switchedAt = null;
    else if (now - this.#pictureAt > SWITCH_PATIENCE && this.#bufferedAhead() > ENOUGH_TO_SEEK) {
      this.#switchedAt = null;
      this.#jump(this.#video.currentTime, now);
    }
  }

  #jump(to: number, now: number): void {
    this.#lastJump = now;
    this.#video.currentTime = to;
  }

  #bufferedAhead(): number {
    return Math.max(0, (this.#rangeEnd() ?? 0) - this.#video.currentTime);
  }

  /** Where the range that is being played ends; `null` in a hole. */
  #rangeEnd(): number | null {
    return endOfRange(this.#video.buffered, this.#video.currentTime);
  }

  #bufferedEnd(): number {
    const { buffered, currentTime } = this.#video;
    return buffered.length === 0 ? currentTime : buffered.end(buffered.length - 1);
  }

  #playingDate(): number | null {
    const fromPlaylist = this.#hls?.playingDate?.getTime();
    if (fromPlaylist !== undefined) return fromPlaylist;
    const video = this.#video as HTMLVideoElement & { getStartDate?: () => Date };
    const start = video.getStartDate?.().getTime() ?? Number.NaN;
    return Number.isNaN(start) ? null : start + video.currentTime * 1000;
  }
}

/** Until the playlist names its own. */
const USUAL_PART = 0.2;
/** Several times a part; the controller smooths by time, so throttling in a hidden tab changes nothing. */
const TICK_MS = 50;
const FRESH_PLAYLIST = 2;
/** Enough for the middle rungs at the first segment; measured from then on, and remembered for the next visit. */
const FIRST_BANDWIDTH = 4_000_000;
/** Seconds behind the edge at which seeking forward is better than playing everything. */
const HOPELESS = 8;
const JUMP_PAUSE = 2;
/** Seconds of it ahead of a picture that has not moved: a hidden page may hold it up for long. */
const PLENTY = 20;
const STILL = 1;
/** Going forward to within this of now means now. */
const NEARLY_LIVE = 1.5;
/** Sound and picture are appended in turns: a hole that is none closes within this. */
const HOLE_PATIENCE = 0.15;
const IDLE_PATIENCE = 0.25;
/** After a change of quality, the picture is watched for this long. */
const SWITCH_WATCH = 3;
/** Three frames at 15 fps. */
const SWITCH_PATIENCE = 0.2;
/** With less buffered the seek would wait for what comes, and cost more than it saves. */
const ENOUGH_TO_SEEK = 0.15;
/** More than rounding, less than a frame. */
const PAST_THE_END = 0.02;
