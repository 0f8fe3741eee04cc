//! Which channels of closed captions come inside the pictures, in messages as ATSC A/53 part 4 §6.2.3 lays them out.
//!
//! What the captions say is left to players. Pictures come in decoding order, in which what belongs together may lie
//! apart: a command names its channel by itself, and of a CEA-708 packet only the part in one picture is read.

use caudal_livestream::timeline::CaptionChannel;

use crate::flv::VideoCodec;
use crate::nal;

/// Looks out for captions in one publisher's pictures.
#[derive(Debug, Default)]
pub(crate) struct CaptionWatch {
    found: Vec<CaptionChannel>,
    /// The two fields of line 21, with two caption channels each.
    fields: [Field; 2],
}

/// Where a field's characters go, by the last commands in it.
#[derive(Debug, Default)]
struct Field {
    /// The channel that was addressed last, 0 or 1.
    addressed: Option<u8>,
    /// Channels whose characters are text beside the picture (T1 to T4), not captions.
    text: [bool; 2],
    /// Characters describe the programme (XDS).
    describes: bool,
}

impl CaptionWatch {
    /// The channels on which captions have come, each once.
    pub(crate) fn channels(&self) -> &[CaptionChannel] {
        &self.found
    }

    /// Looks at the units of one tag.
    pub(crate) fn look(&mut self, codec: VideoCodec, units: &[&[u8]]) {
        for unit in units {
            nal::sei_messages(codec, unit, |kind, payload| {
                if kind == nal::REGISTERED_USER_DATA
                    && let Some(triplets) = cc_data(payload)
                {
                    self.picture(triplets);
                }
            });
        }
    }

    /// One picture's `cc_data_pkt`s: a kind and two bytes each.
    fn picture(&mut self, triplets: &[u8]) {
        let mut packet = Vec::new();
        for triplet in triplets.chunks_exact(3) {
            let &[head, first, second] = triplet else { continue };
            if head & CC_VALID == 0 {
                continue;
            }
            match head & 3 {
                0 => self.line_21(0, [first, second]),
                1 => self.line_21(1, [first, second]),
                2 => packet.extend([first, second]),
                _ => {
                    self.packet(&packet);
                    packet = vec![first, second];
                }
            }
        }
        self.packet(&packet);
    }

    /// A pair of CEA-608 bytes, of which the highest bits are parity.
    fn line_21(&mut self, index: u8, pair: [u8; 2]) {
        let [first, second] = pair.map(|byte| byte & 0x7F);
        let Some(field) = self.fields.get_mut(usize::from(index)) else { return };
        match first {
            0 => return,
            0x01..=0x0F => {
                field.describes = first != END_OF_DESCRIPTION;
                return;
            }
            0x10..=0x1F => {
                let channel = first >> 3 & 1;
                field.addressed = Some(channel);
                field.describes = false;
                if first & 0x76 == MODES
                    && let Some(text) = field.text.get_mut(usize::from(channel))
                {
                    match second {
                        // Resume caption loading, roll up, resume direct captioning, end of caption.
                        0x20 | 0x25..=0x27 | 0x29 | 0x2F => *text = false,
                        // Restart and resume text.
                        0x2A | 0x2B => *text = true,
                        _ => {}
                    }
                }
            }
            _ if field.describes => return,
            _ => {}
        }
        // A publisher may begin in the middle of a caption, and few use the second channel.
        let channel = field.addressed.unwrap_or(0);
        if field.text.get(usize::from(channel)) == Some(&false) {
            self.found(CaptionChannel::Cea608(index * 2 + channel + 1));
        }
    }

    /// The beginning of a CEA-708 packet: a head, then blocks of services (CTA-708 §5, §6).
    fn packet(&mut self, packet: &[u8]) {
        let Some((head, blocks)) = packet.split_first() else { return };
        let length = match usize::from(head & 0x3F) {
            0 => LONGEST_PACKET,
            code => code * 2 - 1,
        };
        let mut blocks = blocks.get(..length).unwrap_or(blocks);
        while let Some((head, behind)) = blocks.split_first() {
            let (mut service, size) = (head >> 5, usize::from(head & 0x1F));
            let mut block = behind;
            if service == 7
                && size > 0
                && let Some((extended, behind)) = behind.split_first()
            {
                service = extended & 0x3F;
                block = behind;
            }
            if service == 0 {
                return;
            }
            // An empty block says that the service exists, not that it has captions.
            if size > 0 && !block.is_empty() {
                self.found(CaptionChannel::Cea708(service));
            }
            blocks = block.get(size..).unwrap_or_default();
        }
    }

    fn found(&mut self, channel: CaptionChannel) {
        merge(&mut self.found, &[channel]);
    }
}

/// Adds to channels in their order those that are missing; whether there were any.
pub(crate) fn merge(known: &mut Vec<CaptionChannel>, found: &[CaptionChannel]) -> bool {
    let before = known.len();
    for channel in found {
        if let Err(at) = known.binary_search(channel) {
            known.insert(at, *channel);
        }
    }
    known.len() > before
}

/// The triplets of a message that ATSC registered for captions.
fn cc_data(payload: &[u8]) -> Option<&[u8]> {
    let (flags, rest) = payload.strip_prefix(ATSC_CAPTIONS)?.split_first()?;
    let triplets = rest.get(1..)?;
    let length = usize::from(flags & CC_COUNT) * 3;
    (flags & PROCESS_CC_DATA != 0).then(|| triplets.get(..length).unwrap_or(triplets))
}

/// USA, ATSC, "GA94", `cc_data`.
const ATSC_CAPTIONS: &[u8] = b"\xB5\x00\x31GA94\x03";
const PROCESS_CC_DATA: u8 = 0x40;
const CC_COUNT: u8 = 0x1F;
const CC_VALID: u8 = 4;
/// First byte of the commands that choose a mode, but for the bits of channel and field.
const MODES: u8 = 0x14;
const END_OF_DESCRIPTION: u8 = 0x0F;
const LONGEST_PACKET: usize = 127;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What it is, its triplets, and the channels that are found.
    type Case = (&'static str, &'static [[u8; 3]], &'static [&'static str]);

    /// A message with these triplets in an SEI unit.
    fn sei(codec: VideoCodec, triplets: &[[u8; 3]]) -> Vec<u8> {
        let count = u8::try_from(triplets.len()).expect("a few");
        let payload = [ATSC_CAPTIONS, &[0xC0 | count, 0xFF], triplets.as_flattened(), &[0xFF]].concat();
        let head: &[u8] = match codec {
            VideoCodec::Avc => &[6],
            VideoCodec::Hevc => &[39 << 1, 1],
        };
        let length = u8::try_from(payload.len()).expect("short");
        [head, &[4, length], &payload, &[0x80]].concat()
    }

    fn found(pictures: &[&[[u8; 3]]]) -> Vec<String> {
        let of = |codec| {
            let mut watch = CaptionWatch::default();
            for triplets in pictures {
                watch.look(codec, &[&sei(codec, triplets)]);
            }
            watch.channels().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(VideoCodec::Avc), of(VideoCodec::Hevc));
        of(VideoCodec::Avc)
    }

    #[test]
    fn captions_of_line_21_are_known_by_their_commands() {
        let cases: &[Case] = &[
            ("padding", &[[0xFC, 0x80, 0x80], [0xFD, 0x80, 0x80]], &[]),
            ("invalid", &[[0xF8, 0x94, 0x20]], &[]),
            ("resume loading", &[[0xFC, 0x94, 0x20]], &["CC1"]),
            ("roll up, second channel", &[[0xFC, 0x1C, 0x25]], &["CC2"]),
            ("second field", &[[0xFD, 0x15, 0xA7]], &["CC3"]),
            ("second field, second channel", &[[0xFD, 0x9D, 0x29]], &["CC4"]),
            ("from the middle", &[[0xFC, 0xC8, 0xE9]], &["CC1"]),
            ("text beside the picture", &[[0xFC, 0x94, 0x2A], [0xFC, 0xC8, 0xE9]], &[]),
            ("text, then captions", &[[0xFC, 0x94, 0x2A], [0xFC, 0x94, 0x20], [0xFC, 0xC8, 0xE9]], &["CC1"]),
            ("a description", &[[0xFD, 0x01, 0x03], [0xFD, 0xC8, 0xE9], [0xFD, 0x8F, 0x1D]], &[]),
            ("two channels", &[[0xFC, 0x94, 0x20], [0xFD, 0x15, 0x2C]], &["CC1", "CC3"]),
        ];
        for (case, triplets, wanted) in cases {
            assert_eq!(found(&[triplets]), *wanted, "{case}");
            let apart: Vec<_> = triplets.chunks(1).collect();
            assert_eq!(found(&apart), *wanted, "{case}, a picture each");
        }
    }

    #[test]
    fn services_of_cea_708_are_known_by_their_blocks() {
        let cases: &[Case] = &[
            ("one service", &[[0xFF, 0x02, 0x22], [0xFE, 0x41, 0x42]], &["SERVICE1"]),
            ("two", &[[0xFF, 0x03, 0x21], [0xFE, 0x41, 0x41], [0xFE, 0x41, 0x00]], &["SERVICE1", "SERVICE2"]),
            ("an extended one", &[[0xFF, 0x02, 0xE1], [0xFE, 0x2A, 0x41]], &["SERVICE42"]),
            ("empty blocks", &[[0xFF, 0x02, 0x20], [0xFE, 0x00, 0x00]], &[]),
            ("a null block", &[[0xFF, 0x02, 0x00], [0xFE, 0x41, 0x41]], &[]),
            ("without a beginning", &[[0xFE, 0x41, 0x41]], &[]),
            ("two packets", &[[0xFF, 0x41, 0x21], [0xFF, 0x82, 0x61], [0xFE, 0x41, 0]], &["SERVICE3"]),
        ];
        for (case, triplets, wanted) in cases {
            assert_eq!(found(&[triplets]), *wanted, "{case}");
        }
    }

    #[test]
    fn other_messages_are_no_captions() {
        let mut watch = CaptionWatch::default();
        let whole = sei(VideoCodec::Avc, &[[0xFC, 0x94, 0x20]]);
        for (at, value) in [(0, 1), (1, 5), (3, 0xB4), (5, 0x2F), (6, b'D'), (10, 6), (11, 0x81)] {
            let mut unit = whole.clone();
            unit[at] = value;
            watch.look(VideoCodec::Avc, &[&unit]);
            assert_eq!(watch.channels(), [], "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_no_more_channels_are_found_than_there_are(
            triplets in prop::collection::vec(any::<[u8; 3]>(), 0..31),
            junk in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut watch = CaptionWatch::default();
            watch.look(VideoCodec::Avc, &[&sei(VideoCodec::Avc, &triplets), &junk, &[&[6, 4][..], &junk].concat()]);
            prop_assert!(watch.channels().len() <= 67);
            for channel in watch.channels() {
                prop_assert_eq!(channel.to_string().parse(), Ok(*channel));
            }
        }
    }
}
