//! One picture into a thumbnail: bytes that anybody may have sent in, bytes that a client can show out. No file, no process, no
//! clock: [`super::worker`] calls it inside its walls, tests and the fuzzer call it as it is.
//!
//! The first bytes decide what it is (JPEG, PNG, WebP, GIF; of what moves the first frame), never a name or a type. Nothing is decoded
//! before the header's dimensions, and the memory that they will cost, have been held against [`Limits`]. Exif's orientation is applied
//! to the pixels, and *no* metadata is written: no place, no camera, no comment, no embedded preview.
//!
//! Colour profiles are dropped like the rest and nothing is converted: the numbers are shown as sRGB. A photograph in Display P3, as
//! telephones make them, comes out a little paler than the original; what has a profile of another kind of colour (CMYK) is as right as
//! the decoder's plain conversion.

use super::resample::{Samples, shrink};
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat};
use std::io::{BufRead, Read, Seek, SeekFrom};

/// Quality of JPEG thumbnails. At 256 pixels some 10 to 15 KB; more is not seen at this size.
const JPEG_QUALITY: u8 = 80;
/// How much higher than its width a thumbnail may be: what is higher gets narrower.
const HEIGHT_RATIO: u32 = 2;
/// Memory that is kept free of the decoded picture: the thumbnail, its encoder, the decoder's tables and rows.
const RESERVE_BYTES: u64 = 32 << 20;
/// Marker segments before a JPEG's frame. Real files have some dozens.
const SEGMENTS_MAX: usize = 4096;

/// What a picture may cost. Held against its header before a pixel is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Width times height.
    pub pixels: u64,
    /// Width, and height.
    pub side: u32,
    /// Memory for all of it.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 64 << 20, pixels: 50_000_000, side: 16_384, memory_bytes: 256 << 20 }
    }
}

/// How a thumbnail is encoded.
///
/// JPEG, which every client shows and which is a fifth of the size, for what is opaque, photographs mostly; it has no transparency, so
/// stickers and logos, of which any pixel lets through, are PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `image/jpeg`.
    Jpeg,
    /// `image/png`.
    Png,
}

impl Encoding {
    /// For `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// What bytes begin like.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            _ => None,
        }
    }
}

/// A thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// As what.
    pub encoding: Encoding,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Why there is none, and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not one of the formats, or broken.
    #[error("not a picture")]
    NotAPicture,
    /// More than the limits allow.
    #[error("too large a picture")]
    TooLarge,
}

impl From<ImageError> for Unfit {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            _ => Self::NotAPicture,
        }
    }
}

/// Makes a thumbnail at most `width` pixels wide and twice as high, of the original's proportions and never larger than it.
pub fn make(source: impl BufRead + Seek, length: u64, width: u32, limits: &Limits) -> Result<Made, Unfit> {
    if length > limits.file_bytes {
        return Err(Unfit::TooLarge);
    }
    let (mut decoder, need) = open(source, length, limits)?;
    let dimensions = decoder.dimensions();
    let pixels = u64::from(dimensions.0) * u64::from(dimensions.1);
    let is_too_large = pixels > limits.pixels
        || dimensions.0.max(dimensions.1) > limits.side
        || decoder.total_bytes().saturating_add(need).saturating_add(RESERVE_BYTES) > limits.memory_bytes;
    if is_too_large {
        return Err(Unfit::TooLarge);
    }
    if pixels == 0 {
        return Err(Unfit::NotAPicture);
    }
    // A broken orientation is none.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let is_turned = orientation.to_exif() >= 5;
    let size = fit(dimensions, width, is_turned);
    let picture = DynamicImage::from_decoder(decoder)?;
    let mut small = shrink(Samples::of(&picture).ok_or(Unfit::NotAPicture)?, size);
    drop(picture);
    small.apply_orientation(orientation);
    encode(&small)
}

/// The decoder that the first bytes ask for, and what it needs beside the pixels.
fn open<'a>(
    mut source: impl BufRead + Seek + 'a,
    length: u64,
    limits: &Limits,
) -> Result<(Box<dyn ImageDecoder + 'a>, u64), Unfit> {
    let mut first = Vec::with_capacity(32);
    source.by_ref().take(32).read_to_end(&mut first).map_err(|_| Unfit::NotAPicture)?;
    source.rewind().map_err(|_| Unfit::NotAPicture)?;
    let bounds = bounds(limits);
    let (mut decoder, need): (Box<dyn ImageDecoder + 'a>, u64) = match image::guess_format(&first) {
        Ok(ImageFormat::Jpeg) => {
            let coefficients = coefficient_bytes(&mut source);
            source.rewind().map_err(|_| Unfit::NotAPicture)?;
            // This decoder holds the file.
            (Box::new(JpegDecoder::new(source)?), length.saturating_add(coefficients))
        }
        Ok(ImageFormat::Png) => (Box::new(PngDecoder::with_limits(source, bounds.clone())?), 0),
        Ok(ImageFormat::WebP) => {
            let decoder = WebPDecoder::new(source)?;
            // The planes of a lossy one, or a copy of what has no transparency.
            let planes = decoder.total_bytes();
            (Box::new(decoder), planes)
        }
        Ok(ImageFormat::Gif) => {
            let decoder = GifDecoder::new(source)?;
            // A frame that does not fill the canvas is decoded apart.
            let frame = decoder.total_bytes();
            (Box::new(decoder), frame)
        }
        _ => return Err(Unfit::NotAPicture),
    };
    decoder.set_limits(bounds)?;
    Ok((decoder, need))
}

fn bounds(limits: &Limits) -> image::Limits {
    let mut bounds = image::Limits::default();
    bounds.max_image_width = Some(limits.side);
    bounds.max_image_height = Some(limits.side);
    bounds.max_alloc = Some(limits.memory_bytes);
    bounds
}

/// What a decoder has to keep of a progressive JPEG until its last scan: two bytes a sample (ITU T.81, B.2.2). Others keep nothing.
fn coefficient_bytes(source: &mut (impl Read + Seek)) -> u64 {
    frame_of_jpeg(source).unwrap_or(None).map_or(0, |samples| samples.saturating_mul(2))
}

/// The number of samples that the frame's header announces, if it is progressive.
fn frame_of_jpeg(source: &mut (impl Read + Seek)) -> std::io::Result<Option<u64>> {
    let mut byte = [0];
    source.seek(SeekFrom::Start(2))?;
    for _ in 0..SEGMENTS_MAX {
        while byte != [0xff] {
            source.read_exact(&mut byte)?;
        }
        while byte == [0xff] {
            source.read_exact(&mut byte)?;
        }
        let mut length = [0; 2];
        source.read_exact(&mut length)?;
        let length = u16::from_be_bytes(length).saturating_sub(2);
        match byte[0] {
            // SOF2, SOF6, SOF10, SOF14: progressive.
            0xc2 | 0xc6 | 0xca | 0xce => return samples_of_frame(source).map(Some),
            // Another frame, or the first scan.
            0xc0 | 0xc1 | 0xc3 | 0xda => return Ok(None),
            _ => source.seek(SeekFrom::Current(i64::from(length)))?,
        };
        byte = [0];
    }
    Ok(None)
}

fn samples_of_frame(source: &mut impl Read) -> std::io::Result<u64> {
    let mut frame = [0; 6];
    source.read_exact(&mut frame)?;
    let [_, height_high, height_low, width_high, width_low, components] = frame;
    let pixels = u64::from(u16::from_be_bytes([height_high, height_low]))
        * u64::from(u16::from_be_bytes([width_high, width_low]));
    let (mut blocks, mut across, mut down) = (0, 1, 1);
    for _ in 0..components.min(4) {
        let mut component = [0; 3];
        source.read_exact(&mut component)?;
        let (h, v) = (u64::from(component[1] >> 4), u64::from(component[1] & 15));
        (blocks, across, down) = (blocks + h * v, across.max(h), down.max(v));
    }
    Ok(pixels * blocks / (across * down))
}

/// The size as stored, of what is to be `width` wide as shown.
fn fit((w, h): (u32, u32), width: u32, is_turned: bool) -> (u32, u32) {
    let (across, down) = if is_turned { (h, w) } else { (w, h) };
    let ratio = f64::from(width) / f64::from(across);
    let ratio = ratio.min(f64::from(width * HEIGHT_RATIO) / f64::from(down)).min(1.0);
    let scaled = |side: u32| ((f64::from(side) * ratio).round() as u32).clamp(1, side);
    (scaled(w), scaled(h))
}

fn encode(small: &DynamicImage) -> Result<Made, Unfit> {
    let is_opaque = match small {
        DynamicImage::ImageLumaA8(pixels) => pixels.pixels().all(|pixel| pixel.0[1] == u8::MAX),
        DynamicImage::ImageRgba8(pixels) => pixels.pixels().all(|pixel| pixel.0[3] == u8::MAX),
        _ => true,
    };
    let mut bytes = Vec::new();
    if !is_opaque {
        let encoder =
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
        small.write_with_encoder(encoder)?;
        return Ok(Made { encoding: Encoding::Png, bytes });
    }
    let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
    match small {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => small.write_with_encoder(encoder)?,
        DynamicImage::ImageLumaA8(_) => small.to_luma8().write_with_encoder(encoder)?,
        _ => small.to_rgb8().write_with_encoder(encoder)?,
    }
    Ok(Made { encoding: Encoding::Jpeg, bytes })
}

#[cfg(test)]
mod tests;
