//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1), and frames of silence.

use bytes::Bytes;

use super::ConfigError;
use super::bits::{BitReader, BitWriter};

/// An AAC configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The `AudioSpecificConfig` as it came.
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
        let channel_configuration = bits.bits(4).ok_or(ConfigError::Truncated)?;
        let (mut core, mut output_rate) = (signalled, core_rate);
        if matches!(signalled, SBR | PS) {
            output_rate = sample_rate(&mut bits).ok_or(ConfigError::Truncated)??;
            core = object_type(&mut bits).ok_or(ConfigError::Truncated)?;
        }
        if !matches!(core, 1..=4) {
            return Err(ConfigError::Unsupported(format!("AAC object type {core}")));
        }
        let short_frames = bits.bit().ok_or(ConfigError::Truncated)?;
        let channels = match channel_configuration {
            1..=6 => u8::try_from(channel_configuration).unwrap_or(2),
            7 => 8,
            other => return Err(ConfigError::Unsupported(format!("AAC channel configuration {other}"))),
        };
        Ok(Self {
            record: record.clone(),
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
        let elements: &[Element] = match self.channel_configuration {
            1 => &[Element::Single],
            3 => &[Element::Single, Element::Pair],
            4 => &[Element::Single, Element::Pair, Element::Single],
            5 => &[Element::Single, Element::Pair, Element::Pair],
            6 => &[Element::Single, Element::Pair, Element::Pair, Element::LowFrequency],
            7 => &[Element::Single, Element::Pair, Element::Pair, Element::Pair, Element::LowFrequency],
            _ => &[Element::Pair],
        };
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

enum Element {
    Single,
    Pair,
    LowFrequency,
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

const SBR: u32 = 5;
const PS: u32 = 29;
const RATES: [u32; 13] =
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
