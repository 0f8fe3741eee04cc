//! CMAF: one track a file (ISO/IEC 23000-19), written by mp4-atom.

use bytes::Bytes;
use caudal_livestream::InitHash;
use caudal_livestream::timeline::VideoRange;
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Codec, Colr, Dinf, Dref, DrefEntry, Encode as _, Error, Esds, FixedPoint,
    FourCC, Ftyp, Hdlr, Hvc1, Hvcc, Mdhd, Mdia, Mfhd, Minf, Moof, Moov, Mp4a, Mvex, Mvhd, Pasp, Smhd, Stbl,
    Stco, Stsc, Stsd, Stsz, Stts, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, TrunSamples, Url,
    Visual, Vmhd, esds,
};
use sha2::{Digest, Sha256};

use crate::codec::aac::AacConfig;
use crate::codec::{ConfigError, VideoConfig};
use crate::flv::VideoCodec;
use crate::sample::Sample;

/// Ticks a second of every video track: RTMP's milliseconds, so that no time is ever rounded.
pub(crate) const VIDEO_TIMESCALE: u32 = 1000;

/// An initialization segment and the name that its bytes give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitSegment {
    pub(crate) hash: InitHash,
    pub(crate) data: Bytes,
}

pub(crate) fn video_init(config: &VideoConfig) -> Result<InitSegment, ConfigError> {
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    let (width, height) = (side(config.width), side(config.height));
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let (h_spacing, v_spacing) = config.pixel_aspect;
    // Browsers take pixels for square where no box says otherwise, whatever the parameter sets say.
    let pasp =
        (h_spacing != v_spacing).then(|| Pasp { h_spacing: h_spacing.into(), v_spacing: v_spacing.into() });
    // Not of SDR: what the parameter sets say is enough, and older initialization segments keep their names.
    let colr = config.colour.filter(|colour| colour.range() != VideoRange::Sdr).map(|colour| Colr::Nclx {
        colour_primaries: colour.primaries.into(),
        transfer_characteristics: colour.transfer.into(),
        matrix_coefficients: colour.matrix.into(),
        full_range_flag: colour.full_range,
    });
    let mut record: &[u8] = &config.record;
    let codec = match config.codec {
        VideoCodec::Avc => {
            let avcc = Avcc::decode_body(&mut record).map_err(|error| broken(&error))?;
            Codec::from(Avc1 { visual, avcc, colr, pasp, ..Avc1::default() })
        }
        VideoCodec::Hevc => {
            let hvcc = Hvcc::decode_body(&mut record).map_err(|error| broken(&error))?;
            Codec::from(Hvc1 { visual, hvcc, colr, pasp, ..Hvc1::default() })
        }
    };
    let header = TrackHeader {
        timescale: VIDEO_TIMESCALE,
        handler: *b"vide",
        width: width.into(),
        height: height.into(),
        vmhd: Some(Vmhd::default()),
        ..TrackHeader::default()
    };
    init(codec, header)
}

pub(crate) fn audio_init(config: &AacConfig) -> Result<InitSegment, ConfigError> {
    let rate = u16::try_from(config.core_rate).unwrap_or_default();
    let mp4a = Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: config.channels.into(),
            sample_size: 16,
            sample_rate: rate.into(),
        },
        esds: Esds {
            es_desc: esds::EsDescriptor {
                dec_config: esds::DecoderConfig {
                    object_type_indication: MPEG4_AUDIO,
                    stream_type: AUDIO_STREAM,
                    dec_specific: Some(esds::DecoderSpecific {
                        raw: config.record.to_vec(),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                ..Default::default()
            },
        },
        btrt: None,
        taic: None,
    };
    let header = TrackHeader {
        timescale: config.core_rate,
        handler: *b"soun",
        volume: 1.into(),
        smhd: Some(Smhd::default()),
        ..TrackHeader::default()
    };
    init(Codec::from(mp4a), header)
}

/// A part: moof and mdat. The samples' bytes are copied once, here.
pub(crate) fn fragment(
    sequence_number: u32,
    samples: &[Sample],
    timing: SampleTiming,
) -> Result<Bytes, Error> {
    let payload = samples.iter().fold(0_usize, |sum, sample| sum.saturating_add(sample.data.len()));
    let base_media_decode_time = samples.first().map_or(0, |sample| sample.decode_time);
    let tfhd = Tfhd {
        track_id: TRACK_ID,
        default_base_is_moof: true,
        default_sample_duration: match timing {
            SampleTiming::Each => None,
            SampleTiming::Constant(duration) => Some(duration),
        },
        default_sample_flags: Some(SYNC),
        ..Tfhd::default()
    };
    let entries = samples.iter().map(|sample| TrunEntry {
        size: u32::try_from(sample.data.len()).ok(),
        ..match timing {
            SampleTiming::Constant(_) => TrunEntry::default(),
            SampleTiming::Each => TrunEntry {
                duration: Some(sample.duration),
                flags: Some(if sample.keyframe { SYNC } else { NOT_SYNC }),
                cts: Some(sample.composition.into()),
                ..TrunEntry::default()
            },
        }
    });
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number },
        traf: vec![Traf {
            tfhd,
            tfdt: Some(Tfdt { base_media_decode_time }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(entries.collect()) }],
            ..Traf::default()
        }],
    };
    let mut bytes = Vec::new();
    moof.encode(&mut bytes)?;
    let offset =
        i32::try_from(bytes.len().saturating_add(MDAT_HEAD)).map_err(|_| Error::TooLarge(Moof::KIND))?;
    if let Some(trun) = moof.traf.first_mut().and_then(|traf| traf.trun.first_mut()) {
        trun.data_offset = Some(offset);
    }
    let size = u32::try_from(payload.saturating_add(MDAT_HEAD)).map_err(|_| Error::TooLarge(Moof::KIND))?;
    let mut bytes = Vec::with_capacity(bytes.len().saturating_add(payload).saturating_add(MDAT_HEAD));
    moof.encode(&mut bytes)?;
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    for sample in samples {
        bytes.extend_from_slice(&sample.data);
    }
    Ok(Bytes::from(bytes))
}

/// Whether samples differ in length and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleTiming {
    /// Video.
    Each,
    /// Audio: all of this duration, all sync samples.
    Constant(u32),
}

#[derive(Default)]
struct TrackHeader {
    timescale: u32,
    handler: [u8; 4],
    volume: FixedPoint<u8>,
    width: FixedPoint<u16>,
    height: FixedPoint<u16>,
    vmhd: Option<Vmhd>,
    smhd: Option<Smhd>,
}

fn init(codec: Codec, header: TrackHeader) -> Result<InitSegment, ConfigError> {
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"cmfc", b"mp41"].map(FourCC::new).to_vec(),
    };
    let trak = Trak {
        tkhd: Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            volume: header.volume,
            width: header.width,
            height: header.height,
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd { timescale: header.timescale, language: "und".to_owned(), ..Mdhd::default() },
            hdlr: Hdlr { handler: FourCC::new(&header.handler), name: "Caudal".to_owned() },
            minf: Minf {
                vmhd: header.vmhd,
                smhd: header.smhd,
                dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url { location: String::new() })] } },
                stbl: Stbl {
                    stsd: Stsd { codecs: vec![codec] },
                    stts: Stts::default(),
                    stsc: Stsc::default(),
                    stsz: Stsz::default(),
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    };
    let moov = Moov {
        mvhd: Mvhd {
            timescale: 1000,
            next_track_id: TRACK_ID.saturating_add(1),
            rate: 1.into(),
            volume: 1.into(),
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex { track_id: TRACK_ID, default_sample_description_index: 1, ..Trex::default() }],
        }),
        trak: vec![trak],
        ..Moov::default()
    };
    let mut bytes = Vec::new();
    ftyp.encode(&mut bytes).map_err(|error| broken(&error))?;
    moov.encode(&mut bytes).map_err(|error| broken(&error))?;
    let digest = Sha256::digest(&bytes);
    let name = hex::encode(digest.iter().take(HASH_BYTES).copied().collect::<Vec<u8>>());
    let hash = name.parse().map_err(|_| ConfigError::Broken("hash".to_owned()))?;
    Ok(InitSegment { hash, data: Bytes::from(bytes) })
}

fn broken(error: &Error) -> ConfigError {
    ConfigError::Broken(error.to_string())
}

const TRACK_ID: u32 = 1;
const MDAT_HEAD: usize = 8;
/// ISO/IEC 14496-12 §8.8.3.1: depends on no other, is a sync sample.
const SYNC: u32 = 0x0200_0000;
/// Depends on others, is no sync sample.
const NOT_SYNC: u32 = 0x0101_0000;
const MPEG4_AUDIO: u8 = 0x40;
const AUDIO_STREAM: u8 = 5;
/// 64 bits: a stream has at most dozens of them.
const HASH_BYTES: usize = 8;
