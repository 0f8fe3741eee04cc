//! Fields that come in a tag each, made into frames again.
//!
//! H.264 counts a field as a picture of its own, and some encoders send it as one. Decoders in browsers want both fields of a
//! frame in one sample, and a frame rate counts frames.

use bytes::BytesMut;

use crate::access_unit::{AccessUnit, LENGTH_SIZE};
use crate::codec::bits::{BitReader, unescape};
use crate::flv::VideoCodec;
use crate::framing::{self, Framing};
use crate::nal::{self, NalRole};

/// How a sequence of H.264 writes what tells fields apart (§7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSyntax {
    /// `log2_max_frame_num_minus4` and 4.
    pub(crate) frame_num_bits: u32,
    /// `separate_colour_plane_flag`.
    pub(crate) planes_apart: bool,
}

/// A picture and when its tag says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimedUnit {
    pub(crate) rtmp_ms: u32,
    pub(crate) composition_ms: i32,
    pub(crate) unit: AccessUnit,
}

/// Waits for the second field of a frame.
#[derive(Debug, Default)]
pub(crate) struct FieldPairs {
    /// None while frames cannot come as fields.
    syntax: Option<FieldSyntax>,
    held: Option<(Field, TimedUnit)>,
}

/// A field that is alone in its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    frame_num: u32,
    bottom: bool,
}

impl FieldPairs {
    /// A codec header says how fields can be told apart, if there can be any.
    pub(crate) fn configure(&mut self, syntax: Option<FieldSyntax>) {
        if self.syntax != syntax {
            *self = Self { syntax, held: None };
        }
    }

    /// A connection begins: a replay brings the field that waits again, in its place.
    pub(crate) fn connected(&mut self) {
        self.held = None;
    }

    /// What can go on now that this picture has come, in its order. Both fields of a frame bear the first one's time; a field
    /// whose other half was lost goes alone.
    pub(crate) fn take(&mut self, mut picture: TimedUnit) -> [Option<TimedUnit>; 2] {
        let Some(syntax) = self.syntax else { return [None, Some(picture)] };
        let alone = syntax.field_of(&picture.unit);
        match (self.held.take(), alone) {
            (Some((first, held)), Some(second)) if second.completes(first) => {
                [Some(held.with(&picture)), None]
            }
            (held, alone) => {
                let before = held.map(|(_, held)| held);
                match alone {
                    Some(field) => {
                        // It leaves under another tag than its own.
                        picture.unit.mended = true;
                        self.held = Some((field, picture));
                        [before, None]
                    }
                    None => [before, Some(picture)],
                }
            }
        }
    }
}

impl TimedUnit {
    fn with(mut self, second: &Self) -> Self {
        let mut both = BytesMut::with_capacity(self.unit.data.len() + second.unit.data.len());
        both.extend_from_slice(&self.unit.data);
        both.extend_from_slice(&without_delimiter(&second.unit.data));
        self.unit.data = both.freeze();
        self
    }
}

impl Field {
    /// §3.30: complementary fields share their `frame_num`.
    fn completes(self, first: Self) -> bool {
        self.bottom != first.bottom && self.frame_num == first.frame_num
    }
}

impl FieldSyntax {
    /// Whether these slices are of the two fields of a frame.
    pub(crate) fn are_of_one_frame(self, first: &[u8], second: &[u8]) -> bool {
        self.read(first).zip(self.read(second)).is_some_and(|(first, second)| second.completes(first))
    }

    /// None when the picture is a frame, or holds both fields already.
    fn field_of(self, unit: &AccessUnit) -> Option<Field> {
        let units = framing::split(VideoCodec::Avc, &unit.data, LENGTH_SIZE, Some(Framing::Lengths))?.units;
        let mut slices = units.iter().filter(|unit| nal::role(VideoCodec::Avc, unit) == NalRole::Slice);
        let first = self.read(slices.next()?)?;
        slices.all(|slice| self.read(slice) == Some(first)).then_some(first)
    }

    /// A slice's header up to `bottom_field_flag`.
    fn read(self, slice: &[u8]) -> Option<Field> {
        let head = unescape(slice.get(1..slice.len().min(LONGEST_HEAD))?);
        let mut bits = BitReader::new(&head);
        for _ in 0..3 {
            bits.ue()?;
        }
        if self.planes_apart {
            bits.skip(2)?;
        }
        let frame_num = bits.bits(self.frame_num_bits)?;
        let field = bits.bit()?;
        Some(Field { frame_num, bottom: bits.bit()? }).filter(|_| field)
    }
}

/// One access unit has one delimiter at most, as its first unit.
fn without_delimiter(data: &[u8]) -> Vec<u8> {
    let units =
        framing::split(VideoCodec::Avc, data, LENGTH_SIZE, Some(Framing::Lengths)).map(|split| split.units);
    let units = units.unwrap_or_default();
    match units.first() {
        Some(first) if nal::role(VideoCodec::Avc, first) == NalRole::Delimiter => {
            data.get(LENGTH_SIZE + first.len()..).unwrap_or_default().to_vec()
        }
        _ => data.to_vec(),
    }
}

/// Three numbers of 32 bits with their leading zeros, and what follows, escaped.
const LONGEST_HEAD: usize = 48;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::bits::BitWriter;

    const SYNTAX: FieldSyntax = FieldSyntax { frame_num_bits: 4, planes_apart: false };

    /// A slice of a frame (`None`), or of the top or bottom field.
    fn slice(idr: bool, frame_num: u32, bottom: Option<bool>) -> Vec<u8> {
        let mut bits = BitWriter::default();
        // first_mb_in_slice 0, slice_type 7, pic_parameter_set_id 0.
        bits.put(1, 1);
        bits.put(7, 8);
        bits.put(1, 1);
        bits.put(4, frame_num);
        bits.put(1, u32::from(bottom.is_some()));
        bits.put(1, u32::from(bottom == Some(true)));
        bits.put(8, 0xAA);
        [&[if idr { 0x65 } else { 0x41 }][..], &bits.finish()].concat()
    }

    fn picture(rtmp_ms: u32, units: &[&[u8]]) -> TimedUnit {
        let data: Vec<u8> = units
            .iter()
            .flat_map(|unit| [&u32::try_from(unit.len()).expect("short").to_be_bytes()[..], unit].concat())
            .collect();
        let unit = AccessUnit { data: Bytes::from(data), keyframe: rtmp_ms == 0, mended: false };
        TimedUnit { rtmp_ms, composition_ms: 0, unit }
    }

    fn pairs() -> FieldPairs {
        let mut pairs = FieldPairs::default();
        pairs.configure(Some(SYNTAX));
        pairs
    }

    #[test]
    fn two_fields_become_a_frame_at_the_first_ones_time() {
        let delimiter: &[u8] = &[9, 0xF0];
        let (top, bottom) = (slice(true, 3, Some(false)), slice(false, 3, Some(true)));
        let mut pairs = pairs();
        assert_eq!(pairs.take(picture(0, &[delimiter, &top])), [None, None]);
        let whole = TimedUnit {
            unit: AccessUnit { mended: true, ..picture(0, &[delimiter, &top, &bottom]).unit },
            ..picture(0, &[])
        };
        assert_eq!(pairs.take(picture(20, &[delimiter, &bottom])), [Some(whole), None]);
    }

    #[test]
    fn frames_and_tags_with_both_fields_pass_at_once() {
        let (top, bottom) = (slice(true, 3, Some(false)), slice(false, 3, Some(true)));
        let frame = slice(false, 4, None);
        let mut pairs = pairs();
        for units in [&[&frame[..]][..], &[&top, &bottom], &[&frame, &frame]] {
            let picture = picture(40, units);
            assert_eq!(pairs.take(picture.clone()), [None, Some(picture)]);
        }
        pairs.configure(None);
        let lone = picture(80, &[&top]);
        assert_eq!(pairs.take(lone.clone()), [None, Some(lone)]);
    }

    #[test]
    fn a_field_whose_other_half_was_lost_goes_alone() {
        let (top, other_top) = (slice(false, 3, Some(false)), slice(false, 4, Some(false)));
        let bottom = slice(false, 5, Some(true));
        let frame = slice(false, 6, None);
        let mut pairs = pairs();
        let mended = |rtmp_ms, units: &[&[u8]]| {
            let picture = picture(rtmp_ms, units);
            Some(TimedUnit { unit: AccessUnit { mended: true, ..picture.unit }, ..picture })
        };
        assert_eq!(pairs.take(picture(0, &[&top])), [None, None]);
        assert_eq!(pairs.take(picture(40, &[&other_top])), [mended(0, &[&top]), None]);
        assert_eq!(pairs.take(picture(60, &[&bottom])), [mended(40, &[&other_top]), None]);
        let last = [mended(60, &[&bottom]), Some(picture(80, &[&frame]))];
        assert_eq!(pairs.take(picture(80, &[&frame])), last);
    }
}
