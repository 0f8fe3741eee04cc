//! What a publisher's video tags hold, made into what one CMAF sample may hold: one picture, its units in the order
//! that H.264 §7.4.1.2.3 and H.265 §7.4.2.4.4 want, each behind a length of four bytes.
//!
//! Chromium ends playback at an access unit in another order, at an empty unit and at a sample without a picture.

use bytes::{BufMut as _, Bytes, BytesMut};
use caudal_livestream::timeline::CaptionChannel;
use thiserror::Error;

use crate::captions::CaptionWatch;
use crate::codec::VideoConfig;
use crate::field_pairs::FieldSyntax;
use crate::flv::VideoCodec;
use crate::framing::{self, Framing};
use crate::nal::{self, NalRole};

/// One publisher's access units, on their way to the tracks.
#[derive(Debug, Default)]
pub(crate) struct AccessUnits {
    format: Option<Format>,
    /// The publisher sends no codec header: its pictures bring the parameter sets.
    in_band: bool,
    /// None while frames cannot come as fields.
    fields: Option<FieldSyntax>,
    usual: Option<Framing>,
    /// What came without a picture, for the next one: units with their lengths.
    ahead: BytesMut,
    ahead_recovers: bool,
    /// Looks at every tag.
    captions: CaptionWatch,
}

/// Where a codec header comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFrom {
    /// A tag of its own, as FLV wants it.
    Tag,
    /// The parameter sets before a picture.
    Stream,
}

/// How the publisher writes units, by its codec header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    codec: VideoCodec,
    length_size: usize,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// Its units, each behind a length of [`LENGTH_SIZE`] bytes.
    pub(crate) data: Bytes,
    /// A decoder can begin here.
    pub(crate) keyframe: bool,
    /// It is not byte for byte what the tag held.
    pub(crate) mended: bool,
}

/// Why a tag's picture cannot be packaged. The words hold no numbers, so that each is reported once.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// No codec header has come.
    #[error("pictures before their codec header")]
    NoHeader,
    /// The codec header was another codec's.
    #[error("pictures of another codec than the header's")]
    OtherCodec,
    /// Neither lengths nor start codes tell units apart.
    #[error("a picture whose lengths do not add up")]
    NotUnits,
}

impl AccessUnits {
    /// A connection begins: a replay brings what waits for a picture again.
    pub(crate) fn connected(&mut self) {
        self.ahead.clear();
        self.ahead_recovers = false;
    }

    /// A codec header in place of one that the publisher does not send: what the parameter sets in this tag amount to.
    /// None while there is a codec header.
    pub(crate) fn header_in_band(&mut self, codec: VideoCodec, data: &Bytes) -> Option<Bytes> {
        if self.format.is_some() && !self.in_band {
            return None;
        }
        let split = framing::split(codec, data, LENGTH_SIZE, self.usual)?;
        let record = nal::parameter_sets(codec, &split.units)?;
        Some(Bytes::from(record))
    }

    /// A codec header has come: pictures are written as it says from here on.
    pub(crate) fn configure(&mut self, config: &VideoConfig, from: HeaderFrom) {
        self.in_band = from == HeaderFrom::Stream;
        let format = Format { codec: config.codec, length_size: config.length_size.into() };
        if self.format != Some(format) {
            *self = Self { format: Some(format), in_band: self.in_band, ..Self::default() };
        }
        self.fields = config.fields;
    }

    /// The pictures of one tag: one, or what a gateway has bundled; `flagged` is what the tag says of them. What stands
    /// behind the last one, or in a tag without any, goes before the next picture.
    ///
    /// # Errors
    /// [`UnitError`] when the tag cannot be used.
    pub(crate) fn read(
        &mut self,
        codec: VideoCodec,
        flagged: bool,
        data: &Bytes,
    ) -> Result<Vec<AccessUnit>, UnitError> {
        let format = self.format.ok_or(UnitError::NoHeader)?;
        if format.codec != codec {
            return Err(UnitError::OtherCodec);
        }
        let split = framing::split(codec, data, format.length_size, self.usual).ok_or(UnitError::NotUnits)?;
        self.captions.look(codec, &split.units);
        let mut pictures = Vec::new();
        for units in pictures_of(codec, self.fields, &split.units) {
            let order = Order::of(codec, units);
            let Some(begins) = nal::begins_decoding(codec, units, flagged) else {
                self.keep(codec, order.before.iter().chain(&order.after));
                continue;
            };
            self.usual = Some(split.framing);
            let keyframe = std::mem::take(&mut self.ahead_recovers) || begins;
            let as_it_came = split.by_lengths_alone
                && format.length_size == LENGTH_SIZE
                && order.unmoved
                && order.units().count() == split.units.len()
                && order.length() == data.len()
                && self.ahead.is_empty();
            let data = if as_it_came { data.clone() } else { self.mend(&order) };
            pictures.push(AccessUnit { data, keyframe, mended: !as_it_came });
            self.keep(codec, order.after.iter());
        }
        Ok(pictures)
    }

    /// Writes a picture anew, behind what waited for it.
    fn mend(&mut self, order: &Order<'_>) -> Bytes {
        let mut mended = BytesMut::with_capacity(order.length() + self.ahead.len());
        if let Some(delimiter) = order.delimiter {
            put(&mut mended, delimiter);
        }
        mended.extend_from_slice(&self.ahead);
        for unit in order.units().skip(usize::from(order.delimiter.is_some())) {
            put(&mut mended, unit);
        }
        self.ahead.clear();
        mended.freeze()
    }

    /// The channels on which this publisher's captions have come.
    pub(crate) fn captions(&self) -> &[CaptionChannel] {
        self.captions.channels()
    }

    /// Keeps units for the next picture. A publisher that sends nothing but such units loses the oldest.
    fn keep<'a>(&mut self, codec: VideoCodec, units: impl Iterator<Item = &'a &'a [u8]>) {
        for unit in units {
            if self.ahead.len() + unit.len() > MAX_AHEAD {
                self.ahead.clear();
                self.ahead_recovers = false;
            }
            if unit.len() <= MAX_AHEAD {
                put(&mut self.ahead, unit);
                self.ahead_recovers |= nal::is_recovery_point(codec, unit);
            }
        }
    }
}

/// The units of each picture, from behind the one before it up to its own last one; all the others are the last one's.
/// Two fields of a frame are one picture.
fn pictures_of<'u, 'a>(
    codec: VideoCodec,
    fields: Option<FieldSyntax>,
    units: &'u [&'a [u8]],
) -> Vec<&'u [&'a [u8]]> {
    let mut pictures = Vec::new();
    let mut rest = units;
    let mut first = None;
    let (mut end, mut used) = (0, 0);
    for (at, unit) in units.iter().enumerate() {
        match (nal::role(codec, unit), first) {
            (NalRole::Slice, None) => first = Some(unit),
            (NalRole::Slice, Some(begun)) => {
                let second_field = || fields.is_some_and(|fields| fields.are_of_one_frame(begun, unit));
                if nal::begins_picture(codec, unit) && !second_field() {
                    let (picture, behind) = rest.split_at_checked(end - used).unwrap_or((rest, &[]));
                    pictures.push(picture);
                    (rest, used, first) = (behind, end, Some(unit));
                }
            }
            (NalRole::Suffix, Some(_)) => {}
            _ => continue,
        }
        end = at + 1;
    }
    pictures.push(rest);
    pictures
}

/// A picture's units by what they are for.
#[derive(Debug, Default)]
struct Order<'a> {
    delimiter: Option<&'a [u8]>,
    before: Vec<&'a [u8]>,
    picture: Vec<&'a [u8]>,
    /// Messages and parameter sets behind the picture are for the next one.
    after: Vec<&'a [u8]>,
    /// True while the units that stay are in the order in which they came.
    unmoved: bool,
}

impl<'a> Order<'a> {
    fn of(codec: VideoCodec, units: &[&'a [u8]]) -> Self {
        let mut order = Self { unmoved: true, ..Self::default() };
        for unit in units.iter().copied() {
            match nal::role(codec, unit) {
                NalRole::Delimiter if order.delimiter.is_none() && order.picture.is_empty() => {
                    order.unmoved &= order.before.is_empty();
                    order.delimiter = Some(unit);
                }
                NalRole::Prefix if order.picture.is_empty() => order.before.push(unit),
                NalRole::Prefix => order.after.push(unit),
                NalRole::Slice => order.picture.push(unit),
                NalRole::Suffix if !order.picture.is_empty() => order.picture.push(unit),
                NalRole::Delimiter | NalRole::Suffix | NalRole::Nothing => {}
            }
        }
        order
    }

    /// Those that stay.
    fn units(&self) -> impl Iterator<Item = &'a [u8]> {
        self.delimiter.into_iter().chain(self.before.iter().copied()).chain(self.picture.iter().copied())
    }

    /// Bytes of those, behind their lengths.
    fn length(&self) -> usize {
        self.units().fold(0, |sum, unit| sum + LENGTH_SIZE + unit.len())
    }
}

fn put(bytes: &mut BytesMut, unit: &[u8]) {
    // No tag is as long as 32 bits can say.
    bytes.put_u32(u32::try_from(unit.len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(unit);
}

/// Bytes of each length prefix that samples have, whatever the publisher's have.
pub(crate) const LENGTH_SIZE: usize = 4;
/// Parameter sets have hundreds of bytes, captions and timecodes tens.
const MAX_AHEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(codec: VideoCodec, length_size: usize) -> AccessUnits {
        AccessUnits { format: Some(Format { codec, length_size }), ..AccessUnits::default() }
    }

    /// At most one picture.
    fn read(units: &mut AccessUnits, data: &[u8]) -> Result<Option<AccessUnit>, UnitError> {
        let mut pictures = units.read(VideoCodec::Avc, false, &Bytes::copy_from_slice(data))?;
        assert!(pictures.len() <= 1, "{pictures:?}");
        Ok(pictures.pop())
    }

    #[test]
    fn a_picture_as_it_should_be_is_passed_on_without_a_copy() {
        let data = Bytes::from_static(b"\0\0\0\x02\x09\xf0\0\0\0\x03\x65\x88\x84");
        let mut pictures = units(VideoCodec::Avc, 4).read(VideoCodec::Avc, false, &data).expect("units");
        let unit = pictures.pop().expect("a picture");
        assert_eq!((unit.data.as_ptr(), unit.keyframe, unit.mended), (data.as_ptr(), true, false));
    }

    #[test]
    fn short_lengths_become_long_ones() {
        for (length_size, data) in
            [(1, &b"\x03\x41\x9a\x24"[..]), (2, b"\0\x03\x41\x9a\x24"), (3, b"\0\0\x03\x41\x9a\x24")]
        {
            let unit =
                read(&mut units(VideoCodec::Avc, length_size), data).expect("units").expect("a picture");
            assert_eq!(unit.data, &b"\0\0\0\x03\x41\x9a\x24"[..], "{length_size}");
        }
    }

    #[test]
    fn a_length_that_looks_like_a_start_code_is_a_length() {
        let slice = [&b"\x41\x9a"[..], &[0x55; 298]].concat();
        let data = [&300_u32.to_be_bytes()[..], &slice].concat();
        let unit = read(&mut units(VideoCodec::Avc, 4), &data).expect("units").expect("a picture");
        assert_eq!((&unit.data[..], unit.mended), (&data[..], false));
        // Cut off, it is neither.
        let mut publisher = units(VideoCodec::Avc, 4);
        read(&mut publisher, &data).expect("units");
        assert_eq!(read(&mut publisher, &data[..200]), Err(UnitError::NotUnits));
    }

    #[test]
    fn start_codes_that_look_like_lengths_are_start_codes_once_the_publisher_is_known_for_them() {
        let mut publisher = units(VideoCodec::Avc, 4);
        read(&mut publisher, b"\0\0\0\x01\x65\x88\x84\x40").expect("units");
        // As a length, 0x141 is exact.
        let data = [&b"\0\0\x01\x41\x9a"[..], &[0x55; 320]].concat();
        let unit = read(&mut publisher, &data).expect("units").expect("a picture");
        assert_eq!(unit.data[..6], *b"\0\0\x01\x42\x41\x9a");
    }

    #[test]
    fn a_start_code_inside_a_message_splits_that_message_alone() {
        let mut publisher = units(VideoCodec::Avc, 4);
        let sei: &[u8] = b"\x06\x01\x03\x40\0\0\0\x01\x07\x80";
        let key = [&10_u32.to_be_bytes()[..], sei, b"\0\0\0\x03\x65\x88\x84"].concat();
        let unit = read(&mut publisher, &key).expect("units").expect("a picture");
        // What is left of the message is shorter than it says.
        let wanted: &[u8] = b"\0\0\0\x02\x07\x80\0\0\0\x03\x65\x88\x84";
        assert_eq!((&unit.data[..], unit.mended), (wanted, true));
        // The lengths of small pictures still are lengths: 0x141, which would begin a slice, as the byte behind it would.
        let slice = [&b"\x41\x9a"[..], &[0x55; 319]].concat();
        let data = [&321_u32.to_be_bytes()[..], &slice].concat();
        let unit = read(&mut publisher, &data).expect("units").expect("a picture");
        assert_eq!((&unit.data[..], unit.mended), (&data[..], false));
    }

    #[test]
    fn hevc_is_mended_alike() {
        let mut publisher = units(VideoCodec::Hevc, 4);
        let mut read = |data: &'static [u8]| {
            publisher.read(VideoCodec::Hevc, false, &Bytes::from_static(data)).expect("units").pop()
        };
        // A prefix SEI alone; then a delimiter, filler, an IDR slice and a suffix SEI.
        assert_eq!(read(b"\0\0\0\x01\x4e\x01\x05\x80"), None);
        let unit =
            read(b"\0\0\x01\x46\x01\x10\0\0\x01\x4c\x01\xff\0\0\x01\x26\x01\xaf\0\0\x01\x50\x01\x84\x80");
        let unit = unit.expect("a picture");
        assert!(unit.keyframe);
        let wanted: &[u8] = b"\0\0\0\x03\x46\x01\x10\0\0\0\x04\x4e\x01\x05\x80\0\0\0\x03\x26\x01\xaf\0\0\0\x04\x50\x01\x84\x80";
        assert_eq!(unit.data, wanted);
    }

    #[test]
    fn pictures_in_one_tag_are_told_apart_by_their_first_slices() {
        type Units = &'static [&'static [u8]];
        let cases: [(VideoCodec, Units, &[Units]); 6] = [
            (VideoCodec::Avc, &[b"\x65\x88", b"\x41\x9a"], &[&[b"\x65\x88"], &[b"\x41\x9a"]]),
            // A second slice, though a delimiter stands before it.
            (VideoCodec::Avc, &[b"\x65\x88", b"\x09\xf0", b"\x65\x48"], &[&[b"\x65\x88", b"\x65\x48"]]),
            // Two slices, then a message for the next picture.
            (
                VideoCodec::Avc,
                &[b"\x41\x9a", b"\x41\x48", b"\x06\x05\x80", b"\x41\x9b"],
                &[&[b"\x41\x9a", b"\x41\x48"], &[b"\x06\x05\x80", b"\x41\x9b"]],
            ),
            // The fields of two frames: `frame_num`s 1 and 2.
            (
                VideoCodec::Avc,
                &[b"\x41\x88\x8d", b"\x09\xf0", b"\x41\x88\x8f", b"\x41\x88\x95", b"\x41\x88\x97"],
                &[&[b"\x41\x88\x8d", b"\x41\x88\x8f"], &[b"\x41\x88\x95", b"\x41\x88\x97"]],
            ),
            // Fields of one parity.
            (VideoCodec::Avc, &[b"\x41\x88\x8d", b"\x41\x88\x8d"], &[&[b"\x41\x88\x8d"], &[b"\x41\x88\x8d"]]),
            // IDR_N_LP with its suffix SEI, TRAIL_R in two slice segments.
            (
                VideoCodec::Hevc,
                &[b"\x28\x01\xaf", b"\x50\x01\x84\x80", b"\x02\x01\xd0", b"\x02\x01\x50"],
                &[&[b"\x28\x01\xaf", b"\x50\x01\x84\x80"], &[b"\x02\x01\xd0", b"\x02\x01\x50"]],
            ),
        ];
        let by_lengths = |units: &[&[u8]]| {
            let mut bytes = BytesMut::new();
            for unit in units {
                put(&mut bytes, unit);
            }
            bytes.freeze()
        };
        for (codec, tag, wanted) in cases {
            let mut publisher = units(codec, 4);
            publisher.fields = Some(FieldSyntax { frame_num_bits: 4, planes_apart: false });
            let pictures = publisher.read(codec, false, &by_lengths(tag)).expect("units");
            let data: Vec<Bytes> = pictures.into_iter().map(|picture| picture.data).collect();
            assert_eq!(data, wanted.iter().map(|units| by_lengths(units)).collect::<Vec<_>>(), "{tag:x?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_what_is_written_needs_no_mending(
            tags in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..60),
                    // Units of every type, some of them empty, behind their lengths or start codes.
                    (prop::collection::vec((0..64_u8, 0..5_usize), 0..6), any::<bool>()).prop_map(|(units, lengths)| {
                        units.iter().flat_map(|(kind, length)| {
                            let unit = vec![*kind; *length];
                            let prefix = if lengths { u32::try_from(*length).expect("short") } else { 1 };
                            [&prefix.to_be_bytes()[..], &unit].concat()
                        }).collect()
                    }),
                ],
                1..8,
            ),
            hevc in any::<bool>(),
        ) {
            let codec = if hevc { VideoCodec::Hevc } else { VideoCodec::Avc };
            let mut publisher = units(codec, 4);
            for tag in tags {
                for unit in publisher.read(codec, false, &Bytes::from(tag)).unwrap_or_default() {
                    let again = units(codec, 4).read(codec, unit.keyframe, &unit.data);
                    let again = again.expect("written by lengths");
                    let wanted = AccessUnit { mended: false, ..unit.clone() };
                    prop_assert_eq!(again, [wanted]);
                }
            }
        }
    }
}
