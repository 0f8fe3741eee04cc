//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1), and frames of silence.

mod program_config;

use bytes::Bytes;

use self::program_config::{Layout, program_config};
use super::ConfigError;
use super::bits::{BitReader, BitWriter};

/// An AAC configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The `AudioSpecificConfig` as it came; with one of the standard's channel configurations where the publisher writes
    /// out a layout that is one of them, because browsers read nothing else.
    pub record: Bytes,
    /// RFC 6381, such as `mp4a.40.2`.
    pub codecs: String,
    /// Samples a second of the core: the track's timescale.
    pub core_rate: u32,
    /// Samples a second that a decoder puts out (twice the core's with signalled SBR).
    pub output_rate: u32,
    /// Channels.
    pub channels: u8,
    /// Core samples a frame.
    pub frame_samples: u32,
    channel_configuration: u32,
}

impl AacConfig {
    /// Reads a sequence header's configuration.
    ///
    /// # Errors
    /// [`ConfigError`] when it is broken or of a kind of AAC that RTMP publishers do not send.
    pub fn parse(record: &Bytes) -> Result<Self, ConfigError> {
        if record.len() > super::MAX_RECORD {
            return Err(ConfigError::Broken(format!("{} bytes", record.len())));
        }
        let mut bits = BitReader::new(record);
        let signalled = object_type(&mut bits).ok_or(ConfigError::Truncated)?;
        let core_rate = sample_rate(&mut bits).ok_or(ConfigError::Truncated)??;
        let mut channel_configuration = bits.bits(4).ok_or(ConfigError::Truncated)?;
        let (mut core, mut output_rate) = (signalled, core_rate);
        if matches!(signalled, SBR | PS) {
            output_rate = sample_rate(&mut bits).ok_or(ConfigError::Truncated)??;
            core = object_type(&mut bits).ok_or(ConfigError::Truncated)?;
        }
        if !matches!(core, 1..=4) {
            return Err(ConfigError::Unsupported(format!("AAC object type {core}")));
        }
        let short_frames = bits.bit().ok_or(ConfigError::Truncated)?;
        let mut written = record.clone();
        if channel_configuration == 0 {
            let layout = own_layout(&mut bits).ok_or(ConfigError::Truncated)?;
            channel_configuration = layout.channel_configuration().ok_or_else(|| {
                ConfigError::Unsupported(format!(
                    "AAC with {} channels in a layout of its own",
                    layout.channels()
                ))
            })?;
            written =
                write_record(signalled, [core_rate, output_rate], core, channel_configuration, short_frames);
        }
        let channels = match channel_configuration {
            1..=6 => u8::try_from(channel_configuration).unwrap_or(2),
            7 => 8,
            other => return Err(ConfigError::Unsupported(format!("AAC channel configuration {other}"))),
        };
        Ok(Self {
            record: written,
            codecs: format!("mp4a.40.{signalled}"),
            core_rate,
            output_rate,
            channels,
            frame_samples: if short_frames { 960 } else { 1024 },
            channel_configuration,
        })
    }

    /// What a stream without audio carries: AAC-LC, 48 kHz, stereo.
    pub fn silence() -> Self {
        Self {
            record: Bytes::from_static(&[0x11, 0x90]),
            codecs: "mp4a.40.2".to_owned(),
            core_rate: 48_000,
            output_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
            channel_configuration: 2,
        }
    }

    /// One frame of silence in this configuration: every element with no scale factor bands.
    pub fn silent_frame(&self) -> Bytes {
        let elements = elements(self.channel_configuration).unwrap_or(&[Element::Pair]);
        let mut bits = BitWriter::default();
        let (mut singles, mut pairs) = (0, 0);
        for element in elements {
            match element {
                Element::Single => {
                    bits.put(3, 0);
                    bits.put(4, singles);
                    singles += 1;
                    silent_channel(&mut bits, IcsInfo::Own);
                }
                Element::Pair => {
                    bits.put(3, 1);
                    bits.put(4, pairs);
                    pairs += 1;
                    bits.put(1, 1);
                    ics_info(&mut bits);
                    bits.put(2, 0);
                    silent_channel(&mut bits, IcsInfo::Common);
                    silent_channel(&mut bits, IcsInfo::Common);
                }
                Element::LowFrequency => {
                    bits.put(3, 3);
                    bits.put(4, 0);
                    silent_channel(&mut bits, IcsInfo::Own);
                }
            }
        }
        bits.put(3, 7);
        Bytes::from(bits.finish())
    }
}

/// `id_syn_ele`, as far as channels go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Single,
    Pair,
    LowFrequency,
}

/// What frames of a channel configuration consist of (ISO/IEC 14496-3 table 1.19).
fn elements(channel_configuration: u32) -> Option<&'static [Element]> {
    use Element::{LowFrequency, Pair, Single};
    Some(match channel_configuration {
        1 => &[Single],
        2 => &[Pair],
        3 => &[Single, Pair],
        4 => &[Single, Pair, Single],
        5 => &[Single, Pair, Pair],
        6 => &[Single, Pair, Pair, LowFrequency],
        7 => &[Single, Pair, Pair, Pair, LowFrequency],
        _ => return None,
    })
}

/// An `AudioSpecificConfig` whose channels are the standard's.
fn write_record(
    signalled: u32,
    [core_rate, output_rate]: [u32; 2],
    core: u32,
    channel_configuration: u32,
    short_frames: bool,
) -> Bytes {
    let mut bits = BitWriter::default();
    bits.put(5, signalled);
    put_rate(&mut bits, core_rate);
    bits.put(4, channel_configuration);
    if matches!(signalled, SBR | PS) {
        put_rate(&mut bits, output_rate);
        bits.put(5, core);
    }
    bits.put(1, short_frames.into());
    bits.put(2, 0);
    Bytes::from(bits.finish())
}

fn put_rate(bits: &mut BitWriter, rate: u32) {
    let index = RATES.iter().position(|known| *known == rate).and_then(|index| u32::try_from(index).ok());
    if let Some(index) = index {
        bits.put(4, index);
    } else {
        bits.put(4, 15);
        bits.put(24, rate);
    }
}

#[derive(Clone, Copy)]
enum IcsInfo {
    Own,
    Common,
}

/// `individual_channel_stream` with `max_sfb` 0: no section, scale factor or spectral data.
fn silent_channel(bits: &mut BitWriter, info: IcsInfo) {
    bits.put(8, 0);
    if matches!(info, IcsInfo::Own) {
        ics_info(bits);
    }
    bits.put(3, 0);
}

/// One long window, `max_sfb` 0, no prediction.
fn ics_info(bits: &mut BitWriter) {
    bits.put(1 + 2 + 1 + 6 + 1, 0);
}

/// The rest of a `GASpecificConfig` without a channel configuration (§4.4.1).
fn own_layout(bits: &mut BitReader<'_>) -> Option<Layout> {
    if bits.bit()? {
        bits.skip(CORE_CODER_DELAY)?;
    }
    bits.skip(1)?;
    program_config(bits)
}

fn object_type(bits: &mut BitReader<'_>) -> Option<u32> {
    match bits.bits(5)? {
        31 => bits.bits(6)?.checked_add(32),
        plain => Some(plain),
    }
}

fn sample_rate(bits: &mut BitReader<'_>) -> Option<Result<u32, ConfigError>> {
    let index = bits.bits(4)?;
    let rate = if index == 15 {
        bits.bits(24)?
    } else {
        RATES.get(usize::try_from(index).ok()?).copied().unwrap_or_default()
    };
    let known = (7_350..=96_000).contains(&rate);
    Some(if known { Ok(rate) } else { Err(ConfigError::Broken(format!("AAC at {rate} Hz"))) })
}

const CORE_CODER_DELAY: usize = 14;
const SBR: u32 = 5;
const PS: u32 = 29;
pub(super) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn configurations_say_rate_channels_and_kind() {
        for (record, codecs, core, output, channels) in [
            (&[0x11, 0x90][..], "mp4a.40.2", 48_000, 48_000, 2),
            (&[0x12, 0x08], "mp4a.40.2", 44_100, 44_100, 1),
            // Explicit SBR: 24 kHz core, 48 kHz out.
            (&[0x2b, 0x11, 0x88, 0x00], "mp4a.40.5", 24_000, 48_000, 2),
        ] {
            let config = AacConfig::parse(&Bytes::copy_from_slice(record)).expect("a usual one");
            assert_eq!(config.codecs, codecs);
            assert_eq!((config.core_rate, config.output_rate, config.channels), (core, output, channels));
            assert_eq!(config.frame_samples, 1024);
        }
    }

    #[test]
    fn a_layout_of_its_own_is_read_as_the_standard_one_with_the_same_elements() {
        for (record, channels, wanted) in [
            (&b"\x11\x80\x04\xc8\x41\0\x01\x08\x80\0"[..], 6, [0x11, 0xb0]),
            (b"\x11\x80\x04\xc4\0\0\x20\0", 2, [0x11, 0x90]),
        ] {
            let config = AacConfig::parse(&Bytes::copy_from_slice(record)).expect("a usual one");
            assert_eq!((config.channels, &config.record[..]), (channels, &wanted[..]));
        }
        // ffmpeg's `5.1(side)`, `quad` and `6.1`: their elements come in orders that have no number.
        for record in [
            &b"\x11\x80\x04\xc8\x44\0\x20\0\xc4\x0d\x4c\x61\x76\x63"[..],
            b"\x11\x80\x04\xc4\x04\0\x21\x10\x0d",
            b"\x11\x80\x04\xc8\x48\0\x20\0\xc4\x40\x0d",
        ] {
            let error = AacConfig::parse(&Bytes::copy_from_slice(record));
            assert!(matches!(error, Err(ConfigError::Unsupported(_))), "{error:?}");
        }
    }

    #[test]
    fn the_silent_configuration_is_what_its_record_says() {
        let silence = AacConfig::silence();
        assert_eq!(AacConfig::parse(&silence.record).expect("ours"), silence);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        for record in [&[][..], &[0x11], &[0x0f, 0x90], &[0x11, 0x80], &[0xff, 0xff, 0xff]] {
            assert!(AacConfig::parse(&Bytes::copy_from_slice(record)).is_err(), "{record:x?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_configurations_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(config) = AacConfig::parse(&Bytes::from(bytes)) {
                prop_assert!(!config.silent_frame().is_empty());
            }
        }
    }
}
