//! Files to upload, good and bad.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder as _, ImageFormat, Rgb, RgbImage};

pub(super) fn plain(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb(colour))
}

pub(super) fn encoded(picture: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture).write_to(&mut file, format).unwrap();
    file.into_inner()
}

pub(super) fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    encoded(plain(width, height, colour), ImageFormat::Png)
}

/// A photograph that says where it was taken, in a TIFF of an orientation and of what else a camera writes.
pub(super) fn photograph(place: &str) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    exif.extend([0; 4]);
    exif.extend(place.as_bytes());
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new(&mut file);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(&plain(800, 600, [10, 120, 30])).unwrap();
    // Behind the picture, where nobody looks.
    file.extend(b"<script>alert(1)</script>");
    file
}

/// Some bytes that would be decoded to 11 GB.
pub(super) fn bomb() -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    file.extend([0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0]);
    let sum = !file[12..].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    file.extend(sum.to_be_bytes());
    file.extend(b"\0\0\x10\0IDAT");
    file
}

/// Every pixel another one: what is left of it is no whole picture.
pub(super) fn cut_off() -> Vec<u8> {
    let noise = RgbImage::from_fn(200, 200, |x, y| {
        Rgb([x * 7, y * 11, x * y].map(|value| u8::try_from(value % 256).unwrap()))
    });
    let mut file = encoded(noise, ImageFormat::Png);
    file.truncate(file.len() / 2);
    file
}
