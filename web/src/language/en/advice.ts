export const advice = {
  'advice.right': 'Your settings are right',
  'advice.rightWords': 'Nothing in what your encoder sends adds delay that could be avoided.',
  'advice.keyframesSeldom': 'A keyframe only every {seconds} s',
  'advice.keyframesSeldomWords':
    'Viewers can join and switch quality only at keyframes, and players without low latency stay three such intervals behind. Set the keyframe interval to 2 s (OBS: Output → Advanced → Keyframe Interval; 0 means “auto” and is too long).',
  'advice.keyframes': 'A keyframe every {seconds} s',
  'advice.keyframesLongWords':
    'With a keyframe interval of 2 s viewers join faster and change quality sooner.',
  'advice.keyframesShortWords':
    'Keyframes are large. At the same bitrate an interval of 1 to 2 s looks better and costs no delay.',
  'advice.bFrames': 'B-frames hold every picture back',
  'advice.bFramesX264Words':
    'An encoder that uses B-frames has to see the following pictures first, and x264 then usually looks ahead as well: together about {time}. Set Tune to “zerolatency” (x264), which turns both off.',
  'advice.bFramesWords':
    'An encoder that uses B-frames has to see the following pictures first: about {time}. Set B-frames to 0, turn Look-ahead off and choose the tuning “Ultra Low Latency” where there is one.',
  'advice.frameRate': '{fps} pictures a second',
  'advice.frameRateWords':
    'Each picture waits for the next one. 30 or 60 a second look smoother and save about {time}.',
  'advice.bitrateHigh': '{rate} Mb/s is a lot',
  'advice.bitrateHighWords':
    'Viewers of the source quality need this and some more without a break, or their players buffer and fall behind. Up to 6 Mb/s is plenty for 1080p.',
  'advice.bitrateLow': '{rate} Mb/s is little for {size}',
  'advice.bitrateLowWords':
    'Fast scenes will look blocky. Raise the bitrate, or lower the resolution: 720p at 2.5 Mb/s looks better than 1080p at 2 Mb/s.',
  'advice.lost': '{share} % of the pictures got lost',
  'advice.lostWords':
    'Your upload cannot carry the bitrate all the time. Lower the bitrate by a quarter, or use a cable instead of Wi-Fi.',
  'advice.hevc': 'Not every browser plays HEVC',
  'advice.hevcWords': 'Choose H.264 if everybody should see the source quality.',
  'advice.silent': 'There is no sound',
  'advice.silentWords': 'Viewers hear silence. In OBS, check that a source in the Audio Mixer is not muted.',
  'advice.seconds': '{seconds} s',
  'advice.milliseconds': '{ms} ms',
} as const;
