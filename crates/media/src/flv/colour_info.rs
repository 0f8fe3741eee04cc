//! Enhanced RTMP's `colorInfo`: what samples mean, for encoders that do not say it in their parameter sets.

use crate::codec::Colour;

/// Reads the AMF0 of a video metadata packet. None when it is about something else, or does not say what light samples
/// mean. Properties are looked for by their names, so that nothing in between is built up or followed into its depth.
pub(super) fn colour_info(amf: &[u8]) -> Option<Colour> {
    let properties = amf.strip_prefix(COLOR_INFO)?;
    let code = |name: &[u8]| {
        let (_, value) = split_behind(properties, name)?;
        let (&NUMBER, number) = value.split_first()? else { return None };
        let number = *number.first_chunk::<8>()?;
        (0..=u8::MAX).find(|code| f64::from(*code).to_be_bytes() == number)
    };
    let or_bt2020 = |code: Option<u8>, bt2020: u8| code.unwrap_or(bt2020);
    Some(Colour {
        transfer: code(b"\0\x17transferCharacteristics")?,
        primaries: or_bt2020(code(b"\0\x0ecolorPrimaries"), 9),
        matrix: or_bt2020(code(b"\0\x12matrixCoefficients"), 9),
        full_range: false,
    })
}

fn split_behind<'a>(bytes: &'a [u8], wanted: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(wanted.len()).position(|window| window == wanted)?;
    bytes.split_at_checked(at + wanted.len())
}

/// A string that names what the object behind it is.
const COLOR_INFO: &[u8] = b"\x02\0\x09colorInfo";
const NUMBER: u8 = 0;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::flv::VideoTag;

    fn amf(name: &[u8], properties: &[(&str, f64)]) -> Vec<u8> {
        let string = |text: &[u8]| [&[0, u8::try_from(text.len()).expect("short")][..], text].concat();
        let mut bytes = [&[2][..], &string(name), &[3], &string(b"colorConfig"), &[3]].concat();
        for (name, value) in properties {
            bytes.extend([&string(name.as_bytes())[..], &[0], &value.to_be_bytes()].concat());
        }
        bytes.extend([0, 0, 9, 0, 0, 9]);
        bytes
    }

    #[test]
    fn color_info_is_read_as_obs_writes_it() {
        let properties = [
            ("bitDepth", 10.0),
            ("colorPrimaries", 9.0),
            ("transferCharacteristics", 16.0),
            ("matrixCoefficients", 9.0),
        ];
        let colour = Colour { primaries: 9, transfer: 16, matrix: 9, full_range: false };
        for codec in [b"hvc1", b"avc1"] {
            let body = [&b"\x94"[..], codec, &amf(b"colorInfo", &properties)].concat();
            assert_eq!(VideoTag::parse(&Bytes::from(body)), Ok(VideoTag::Colour(colour)));
        }
    }

    #[test]
    fn what_says_nothing_of_light_is_nothing() {
        let pq = [("transferCharacteristics", 16.0)];
        assert!(colour_info(&amf(b"colorInfo", &pq)).is_some());
        for other in [
            amf(b"other", &pq),
            amf(b"colorInfo", &[("colorPrimaries", 9.0)]),
            amf(b"colorInfo", &[("transferCharacteristics", 16.5)]),
            amf(b"colorInfo", &[("transferCharacteristics", f64::NAN)]),
            amf(b"colorInfo", &pq)[..50].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(colour_info(&other), None, "{other:x?}");
        }
    }
}
