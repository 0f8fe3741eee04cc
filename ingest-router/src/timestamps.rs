//! Whether a publisher's timestamps jump.

use crate::tag::{Role, Tag};

/// The last timestamp of each track.
#[derive(Debug, Default)]
pub(crate) struct Timestamps {
    video: Option<u32>,
    audio: Option<u32>,
}

impl Timestamps {
    /// True when `tag` lies over [`JUMP_MS`] from its track's last one, or at least [`STEP_BACK_MS`] earlier than that one,
    /// across the 32-bit wrap.
    ///
    /// A tag near the other track's time is not a jump: its track paused, or follows a jump that was seen already. After
    /// a short step back the two are near each other anyway; a track that follows comes nearer to the other by it.
    /// Headers and metadata carry any timestamp, often zero, and say nothing.
    pub(crate) fn jumps(&mut self, tag: &Tag, role: Role) -> bool {
        let (own, other) = match role {
            Role::Keyframe | Role::Frame => (&mut self.video, &self.audio),
            Role::Audio => (&mut self.audio, &self.video),
            Role::Metadata | Role::VideoHeader | Role::VideoColour | Role::AudioHeader | Role::Other => {
                return false;
            }
        };
        let new = tag.timestamp_ms;
        let far = |from: u32| apart(new, from) > JUMP_MS;
        let steps_back = own.is_some_and(|old| {
            (STEP_BACK_MS..=JUMP_MS).contains(&old.wrapping_sub(new))
                && other.is_none_or(|other| apart(new, other) > apart(old, other))
        });
        let jumps = steps_back || (own.is_some_and(far) && other.is_none_or(far));
        *own = Some(tag.timestamp_ms);
        jumps
    }
}

fn apart(one_ms: u32, other_ms: u32) -> u32 {
    one_ms.wrapping_sub(other_ms).min(other_ms.wrapping_sub(one_ms))
}

/// Workers begin a discontinuity beyond this too (ARCHITECTURE §3.5).
const JUMP_MS: u32 = 3000;
/// So they do here: what is kept from before the step would be taken for the media behind it when it is sent again.
const STEP_BACK_MS: u32 = 201;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::tag::Body;

    #[test]
    fn a_jump_is_seen_once_and_a_pause_is_none() {
        let video =
            |timestamp_ms| Tag { timestamp_ms, body: Body::Video(Bytes::from_static(&[0x27, 1, 0, 0, 0])) };
        let audio = |timestamp_ms| Tag { timestamp_ms, body: Body::Audio(Bytes::from_static(&[0xAF, 1])) };
        let header =
            |timestamp_ms| Tag { timestamp_ms, body: Body::Video(Bytes::from_static(&[0x17, 0, 0, 0, 0])) };
        for (name, tags, expected) in [
            ("steady", vec![video(0), audio(5), video(40), audio(26)], vec![]),
            ("the first tag of a track that comes late", vec![video(0), video(9000), audio(9000)], vec![1]),
            ("forwards, both tracks", vec![video(0), audio(0), video(60_000), audio(60_000)], vec![2]),
            ("backwards, both tracks", vec![video(60_000), audio(60_000), audio(0), video(0)], vec![2]),
            ("three seconds are none", vec![video(0), video(3000)], vec![]),
            (
                "a step back, both tracks",
                vec![video(60_000), audio(60_000), video(58_500), audio(58_500)],
                vec![2],
            ),
            ("two steps back", vec![video(9000), video(8000), video(8040), video(7000)], vec![1, 3]),
            ("rounding is none", vec![video(60_000), video(59_800), audio(60_000), audio(59_990)], vec![]),
            ("a step back over the wrap", vec![video(500), video(u32::MAX - 500)], vec![1]),
            ("the wrap is none", vec![video(u32::MAX - 10), video(30)], vec![]),
            (
                "video pauses while audio goes on",
                vec![video(0), audio(0), audio(2500), audio(5000), video(5000)],
                vec![],
            ),
            ("a header says nothing", vec![video(60_000), header(0), video(60_040)], vec![]),
        ] {
            let mut timestamps = Timestamps::default();
            let jumps: Vec<usize> = tags
                .iter()
                .enumerate()
                .filter(|(_, tag)| timestamps.jumps(tag, tag.role()))
                .map(|(index, _)| index)
                .collect();
            assert_eq!(jumps, expected, "{name}");
        }
    }
}
