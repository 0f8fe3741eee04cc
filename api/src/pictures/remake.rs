//! A stranger's file into a JPEG of ours. It takes memory and time, so it belongs on a thread of its own.

use std::io::Cursor;

use caudal_storage::PictureKind;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::error::PictureError;
use super::shape::Size;

/// The picture as everybody may see it: upright, cut to its kind's shape, with nothing of the file around it.
///
/// How large it is stands in a file's first bytes, and nothing is decoded that has more pixels than a camera makes.
pub(super) fn remade(file: &[u8], kind: PictureKind) -> Result<Vec<u8>, PictureError> {
    let Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) = image::guess_format(file)
    else {
        return Err(PictureError::UnknownFormat);
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unusable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_DECODED {
        return Err(PictureError::TooManyPixels);
    }
    // As the camera was held. Where that cannot be read, nobody would turn the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(unusable)?;

    let wanted = Size::of(kind);
    let wanted = if is_quarter_turn(orientation) { wanted.turned() } else { wanted };
    let size = wanted.filled_by(Size::new(width, height));
    // The middle of it is the same however it is turned, and there is less to turn afterwards.
    let mut small = picture.resize_to_fill(size.width, size.height, FilterType::CatmullRom);
    drop(picture);
    small.apply_orientation(orientation);
    let opaque = on_white(small);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode_image(&opaque)
        .map_err(|_| PictureError::Unreadable)?;
    Ok(jpeg)
}

fn is_quarter_turn(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// A JPEG has no transparency.
fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        image::Rgb([red, green, blue].map(|colour| over_white(colour, alpha)))
    })
}

fn over_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha, white) = (u16::from(colour), u16::from(alpha), u16::from(u8::MAX));
    let mixed = (colour * alpha + white * (white - alpha)) / white;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unusable(error: ImageError) -> PictureError {
    match error {
        ImageError::Limits(_) => PictureError::TooManyPixels,
        _ => PictureError::Unreadable,
    }
}

/// The camera of a telephone makes 12; one that makes more saves 12 unless it is told otherwise.
const MAX_PIXELS: u64 = MAX_MEGAPIXELS * 1_000_000;
pub(super) const MAX_MEGAPIXELS: u64 = 16;
/// A panorama; a side of 16 million pixels and 1 the other way is nobody's picture.
pub(super) const MAX_SIDE: u32 = 10_000;
/// Bytes of a decoded picture: 16 megapixels with transparency.
const MAX_DECODED: u64 = 64 * 1024 * 1024;
/// Where people begin to see no difference.
const QUALITY: u8 = 85;

#[cfg(test)]
mod tests {
    use image::{ImageEncoder as _, Rgb, Rgba, RgbaImage};

    use super::*;

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    fn opened(jpeg: &[u8]) -> RgbImage {
        assert_eq!(image::guess_format(jpeg).unwrap(), ImageFormat::Jpeg);
        image::load_from_memory(jpeg).unwrap().into_rgb8()
    }

    fn near(pixel: Rgb<u8>, wanted: [u8; 3]) -> bool {
        pixel.0.iter().zip(wanted).all(|(is, wanted)| is.abs_diff(wanted) < 24)
    }

    #[test]
    fn each_kind_gets_its_shape() {
        let picture = png(&DynamicImage::ImageRgb8(RgbImage::from_pixel(1600, 1600, Rgb([200, 0, 0]))));
        for kind in PictureKind::ALL {
            let made = opened(&remade(&picture, kind).unwrap());
            let Size { width, height } = Size::of(kind);
            assert_eq!(made.dimensions(), (width, height), "{kind:?}");
            assert!(near(*made.get_pixel(1, 1), [200, 0, 0]));
        }
    }

    #[test]
    fn what_can_be_seen_through_becomes_white() {
        let clear = png(&DynamicImage::ImageRgba8(RgbaImage::from_pixel(64, 64, Rgba([0, 0, 0, 0]))));
        assert!(near(*opened(&remade(&clear, PictureKind::Avatar).unwrap()).get_pixel(9, 9), [255; 3]));
        for (colour, alpha, seen) in [(0, 0, 255), (0, 255, 0), (200, 255, 200), (0, 128, 127)] {
            assert_eq!(over_white(colour, alpha), seen, "{colour} {alpha}");
        }
    }

    #[test]
    fn a_picture_is_turned_as_the_camera_was_held_and_keeps_nothing_of_the_camera() {
        // Red at the left, blue at the right; held so that the left of it is the top of what was seen.
        let halves =
            RgbImage::from_fn(128, 64, |x, _| if x < 64 { Rgb([220, 0, 0]) } else { Rgb([0, 0, 220]) });
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 95);
        encoder.set_exif_metadata(exif(6)).unwrap();
        encoder.encode_image(&halves).unwrap();
        assert!(file.windows(4).any(|bytes| bytes == b"Exif"));

        let jpeg = remade(&file, PictureKind::Icon).unwrap();
        assert!(!jpeg.windows(4).any(|bytes| bytes == b"Exif"));
        let made = opened(&jpeg);
        assert_eq!(made.dimensions(), (64, 85));
        assert!(near(*made.get_pixel(32, 4), [220, 0, 0]), "{:?}", made.get_pixel(32, 4));
        assert!(near(*made.get_pixel(32, 80), [0, 0, 220]), "{:?}", made.get_pixel(32, 80));
    }

    #[test]
    fn what_is_no_picture_or_not_a_whole_one_is_refused() {
        let whole = png(&DynamicImage::ImageRgb8(RgbImage::from_fn(64, 64, |x, y| {
            Rgb([x, y, x * y].map(|value| u8::try_from(value % 251).unwrap()))
        })));
        let cut = &whole[..whole.len() / 2];
        for (file, refusal) in [
            (&b""[..], PictureError::UnknownFormat),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", PictureError::UnknownFormat),
            (b"GIF89a<html>", PictureError::UnknownFormat),
            (b"\xff\xd8\xff<script>alert(1)</script>", PictureError::Unreadable),
            (&whole[..20], PictureError::Unreadable),
            (cut, PictureError::Unreadable),
        ] {
            assert_eq!(remade(file, PictureKind::Avatar), Err(refusal), "{:?}", file.get(..20));
        }
    }

    #[test]
    fn a_picture_of_more_pixels_than_a_camera_makes_is_not_decoded() {
        for (width, height) in [(60_000, 60_000), (10_001, 1), (5_000, 5_000)] {
            // Nothing but its first bytes: whoever decoded it would find it incomplete.
            let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
            file.extend(u32::to_be_bytes(width));
            file.extend(u32::to_be_bytes(height));
            file.extend([8, 2, 0, 0, 0]);
            let sum = crc32(&file[12..]);
            file.extend(sum.to_be_bytes());
            file.extend(b"\0\0\x10\0IDAT");
            assert_eq!(
                remade(&file, PictureKind::Avatar),
                Err(PictureError::TooManyPixels),
                "{width} by {height}"
            );
        }
    }

    /// A little-endian TIFF of one entry: the orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut tiff = b"II*\0\x08\0\0\0\x01\0".to_vec();
        tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
        tiff.extend([0; 4]);
        tiff
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8)
                .fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
        })
    }
}
