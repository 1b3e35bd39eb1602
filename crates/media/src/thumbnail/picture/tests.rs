//! Pictures made here, spoiled here, and made small.

use super::*;
use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;
use std::io::Cursor;

const RED: [u8; 3] = [230, 20, 20];
const BLUE: [u8; 3] = [20, 20, 230];

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn thumbnail_within(bytes: &[u8], width: u32, limits: &Limits) -> Result<Made, Unfit> {
    make(Cursor::new(bytes), bytes.len() as u64, width, limits)
}

fn thumbnail(bytes: &[u8], width: u32) -> Result<Made, Unfit> {
    thumbnail_within(bytes, width, &Limits::default())
}

fn decoded(made: &Made) -> DynamicImage {
    image::load_from_memory(&made.bytes).unwrap()
}

/// Red on the left, blue on the right.
fn halves(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { RED } else { BLUE })).into()
}

fn is_near(pixel: Rgba<u8>, colour: [u8; 3]) -> bool {
    pixel.0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 30)
}

/// An Exif block (TIFF, big-endian): an orientation, and a place in Cusco.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value].concat()
    };
    let mut block = b"MM\0*\0\0\0\x08".to_vec();
    // The first directory, with the orientation and where the directory of the place is.
    block.extend([0, 2]);
    block.extend(entry(0x0112, 3, 1, [0, orientation, 0, 0]));
    block.extend(entry(0x8825, 4, 1, 38u32.to_be_bytes()));
    block.extend([0; 4]);
    block.extend([0, 2]);
    block.extend(entry(0x0001, 2, 2, *b"S\0\0\0"));
    block.extend(entry(0x0002, 5, 3, 68u32.to_be_bytes()));
    block.extend([0; 4]);
    for (number, of) in [(13u32, 1u32), (31, 1), (7, 1)] {
        block.extend([number.to_be_bytes(), of.to_be_bytes()].concat());
    }
    block.extend(b"Plaza de Armas, Cusco");
    block
}

/// With a segment behind its beginning.
fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, content, &jpeg[2..]].concat()
}

fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    with_segment(jpeg, 0xe1, &[b"Exif\0\0".to_vec(), exif(orientation)].concat())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn every_format_and_every_kind_of_pixel() {
    let rgb = halves(640, 480);
    let kinds = [
        (rgb.clone(), ImageFormat::Jpeg),
        (rgb.clone(), ImageFormat::Png),
        (rgb.clone(), ImageFormat::WebP),
        (rgb.clone(), ImageFormat::Gif),
        (rgb.to_luma8().into(), ImageFormat::Jpeg),
        (rgb.to_luma8().into(), ImageFormat::Png),
        (rgb.to_luma16().into(), ImageFormat::Png),
        (rgb.to_rgb16().into(), ImageFormat::Png),
        // Transparency that nothing makes use of.
        (rgb.to_rgba8().into(), ImageFormat::Png),
        (rgb.to_rgba16().into(), ImageFormat::Png),
        (rgb.to_luma_alpha8().into(), ImageFormat::Png),
        (rgb.to_luma_alpha16().into(), ImageFormat::Png),
        (rgb.to_rgba8().into(), ImageFormat::WebP),
    ];
    for (picture, format) in kinds {
        let what = format!("{format:?} of {:?}", picture.color());
        let made = thumbnail(&encoded(&picture, format), 128).unwrap();
        assert_eq!(made.encoding, Encoding::Jpeg, "{what}");
        let small = decoded(&made);
        assert_eq!((small.width(), small.height()), (128, 96), "{what}");
        let colour = |pixel: [u8; 3]| {
            if picture.color().has_color() { pixel } else { [small.to_luma8().get_pixel(20, 40).0[0]; 3] }
        };
        assert!(is_near(image::GenericImageView::get_pixel(&small, 20, 40), colour(RED)), "{what}");
        if picture.color().has_color() {
            assert!(is_near(image::GenericImageView::get_pixel(&small, 110, 40), BLUE), "{what}");
        }
    }
}

#[test]
fn transparency_stays() {
    let sticker =
        RgbaImage::from_fn(300, 300, |x, _| if x < 150 { Rgba([255, 0, 0, 255]) } else { Rgba([0; 4]) });
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let made = thumbnail(&encoded(&sticker.clone().into(), format), 64).unwrap();
        assert_eq!(made.encoding, Encoding::Png, "{format:?}");
        let small = decoded(&made).to_rgba8();
        assert_eq!(
            (small.get_pixel(5, 5).0, small.get_pixel(60, 5).0[3]),
            ([255, 0, 0, 255], 0),
            "{format:?}"
        );
    }
    let grey = GrayAlphaHalf::picture();
    let made = thumbnail(&encoded(&grey, ImageFormat::Png), 64).unwrap();
    assert_eq!((made.encoding, decoded(&made).color().has_alpha()), (Encoding::Png, true));
}

struct GrayAlphaHalf;

impl GrayAlphaHalf {
    fn picture() -> DynamicImage {
        let pixels =
            (0..100 * 100).flat_map(|index| [200, if index % 100 < 50 { 255 } else { 10 }]).collect();
        DynamicImage::ImageLumaA8(ImageBuffer::from_raw(100, 100, pixels).unwrap())
    }
}

#[test]
fn nothing_gets_larger_and_nothing_gets_lost() {
    for (from, width, to) in [
        ((40, 30), 64, (40, 30)),
        ((64, 64), 64, (64, 64)),
        ((65, 65), 64, (64, 64)),
        ((1000, 1), 64, (64, 1)),
        // Higher than twice its width: narrower than was asked for.
        ((100, 1000), 64, (13, 128)),
        ((1, 1000), 64, (1, 128)),
        ((1, 1), 1024, (1, 1)),
    ] {
        let made = thumbnail(&encoded(&halves(from.0, from.1), ImageFormat::Png), width).unwrap();
        let small = decoded(&made);
        assert_eq!((small.width(), small.height()), to, "{from:?} at {width}");
    }
}

#[test]
fn orientation_is_applied_and_no_metadata_is_left() {
    // Left half red. Where red is in each orientation (1 to 8), as (x, y) of a quarter and of its opposite.
    let plain = encoded(&halves(200, 100), ImageFormat::Jpeg);
    let (left, right, top, bottom) = ((0.25, 0.5), (0.75, 0.5), (0.5, 0.25), (0.5, 0.75));
    let places = [left, right, right, left, top, top, bottom, bottom];
    for (orientation, red) in (1..=8).zip(places) {
        let jpeg = with_exif(&plain, orientation);
        assert!(contains(&jpeg, b"Cusco"));
        let made = thumbnail(&jpeg, 64).unwrap();
        for part in [b"Exif".as_slice(), b"Cusco", b"MM\0*"] {
            assert!(!contains(&made.bytes, part), "{orientation}");
        }
        let small = decoded(&made).to_rgba8();
        let size = if orientation < 5 { (64, 32) } else { (64, 128) };
        assert_eq!(small.dimensions(), size, "{orientation}");
        let at = |(x, y): (f64, f64)| {
            *small.get_pixel((f64::from(size.0) * x) as u32, (f64::from(size.1) * y) as u32)
        };
        assert!(is_near(at(red), RED), "{orientation}: {:?}", at(red));
        assert!(is_near(at((1.0 - red.0, 1.0 - red.1)), BLUE), "{orientation}");
    }
}

#[test]
fn no_segment_and_no_chunk_is_passed_on() {
    let secret = b"the place where it was taken";
    let mut jpeg = encoded(&halves(50, 50), ImageFormat::Jpeg);
    for marker in [0xe1, 0xe2, 0xed, 0xfe] {
        jpeg = with_segment(&jpeg, marker, secret);
    }
    let png = encoded(&GrayAlphaHalf::picture(), ImageFormat::Png);
    // Behind the header's chunk, which is 25 bytes long and stands at 8.
    let chunk = [b"tEXt".as_slice(), b"Location\0", secret].concat();
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    let checksum = crc32(&chunk).to_be_bytes();
    let png = [&png[..33], &length, &chunk, &checksum, &png[33..]].concat();
    for bytes in [jpeg, png] {
        assert!(contains(&bytes, secret));
        assert!(!contains(&thumbnail(&bytes, 64).unwrap().bytes, secret));
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

/// A PNG that says it is so large, and has nothing in it.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let checksum = crc32(&header).to_be_bytes();
    let data = b"\0\0\0\x02IDAT\x78\x9c".as_slice();
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d".as_slice(),
        &header,
        &checksum,
        data,
        &crc32(b"IDAT\x78\x9c").to_be_bytes(),
    ]
    .concat()
}

fn gif_of(width: u16, height: u16) -> Vec<u8> {
    let mut gif = encoded(&halves(8, 8), ImageFormat::Gif);
    gif[6..8].copy_from_slice(&width.to_le_bytes());
    gif[8..10].copy_from_slice(&height.to_le_bytes());
    gif
}

/// The frame's header changed to be so large; `marker` says whether it is progressive.
fn jpeg_of(width: u16, height: u16, marker: u8) -> Vec<u8> {
    let mut jpeg = encoded(&halves(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 1] = marker;
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

#[test]
fn bombs_are_seen_by_their_headers() {
    for (what, bytes) in [
        ("PNG, wide and high", png_of(60_000, 60_000)),
        ("PNG, too many pixels", png_of(16_000, 16_000)),
        ("PNG, one row", png_of(4_000_000_000, 1)),
        ("PNG, four bytes a pixel", png_of(10_000, 5_000 + 900)),
        ("GIF", gif_of(65_535, 65_535)),
        ("GIF, too many pixels", gif_of(16_000, 16_000)),
        ("JPEG", jpeg_of(65_500, 65_500, 0xc0)),
        ("JPEG, too many pixels", jpeg_of(10_000, 8_000, 0xc0)),
        ("JPEG, progressive", jpeg_of(8_000, 6_000, 0xc2)),
    ] {
        assert_eq!(thumbnail(&bytes, 64), Err(Unfit::TooLarge), "{what}");
    }
}

#[test]
fn limits_are_limits() {
    let jpeg = encoded(&halves(100, 100), ImageFormat::Jpeg);
    let small = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        thumbnail_within(&jpeg, 64, &limits).map(|_| ())
    };
    assert_eq!(small(|_| {}), Ok(()));
    assert_eq!(small(|limits| limits.pixels = 10_000), Ok(()));
    assert_eq!(small(|limits| limits.pixels = 9_999), Err(Unfit::TooLarge));
    assert_eq!(small(|limits| limits.side = 99), Err(Unfit::TooLarge));
    assert_eq!(small(|limits| limits.file_bytes = 50), Err(Unfit::TooLarge));
    assert_eq!(small(|limits| limits.memory_bytes = RESERVE_BYTES), Err(Unfit::TooLarge));
}

#[test]
fn what_progressive_jpegs_keep_is_counted() {
    // 4:2:0 of a megapixel: one and a half samples a pixel, two bytes each.
    let frame = |marker: u8| {
        let components = [1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        let frame = [&[0xff, marker, 0, 17, 8, 0x03, 0xe8, 0x03, 0xe8, 3], components.as_slice()].concat();
        [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff], frame.as_slice()].concat()
    };
    assert_eq!(coefficient_bytes(&mut Cursor::new(frame(0xc2))), 3_000_000);
    assert_eq!(coefficient_bytes(&mut Cursor::new(frame(0xc0))), 0);
    assert_eq!(coefficient_bytes(&mut Cursor::new(&frame(0xc2)[..12])), 0);
}

#[test]
fn what_is_no_picture_is_none() {
    let webp = encoded(&halves(64, 64), ImageFormat::WebP);
    for (what, bytes) in [
        ("nothing", b"".as_slice()),
        ("a byte", b"\xff"),
        ("ZIP", b"PK\x03\x04\x14\0\0\0\x08\0picture.jpg"),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'><script/></svg>"),
        ("HTML", b"<!doctype html><script>alert(1)</script>"),
        ("BMP", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
        ("TIFF", b"II*\0\x08\0\0\0"),
        ("a JPEG's beginning", b"\xff\xd8\xff\xe0"),
        ("half a WebP", &webp[..webp.len() / 2]),
        ("a GIF's header", b"GIF89a\x40\0\x40\0\0\0\0"),
    ] {
        assert_eq!(thumbnail(bytes, 64), Err(Unfit::NotAPicture), "{what}");
    }
}

#[test]
fn of_what_moves_the_first_frame_is_shown() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for colour in [RED, BLUE] {
        let frame = RgbImage::from_pixel(32, 32, Rgb(colour));
        encoder.encode_frame(image::Frame::new(DynamicImage::from(frame).to_rgba8())).unwrap();
    }
    drop(encoder);
    let small = decoded(&thumbnail(&bytes, 64).unwrap()).to_rgba8();
    assert!(is_near(*small.get_pixel(16, 16), RED));
}

fn samples() -> Vec<Vec<u8>> {
    let noise = GrayImage::from_fn(40, 40, |x, y| Luma([(x * 37 + y * y * 11) as u8]));
    let noise = DynamicImage::from(noise);
    let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif];
    let mut samples: Vec<_> =
        formats.into_iter().map(|format| encoded(&noise.to_rgba8().into(), format)).collect();
    samples.push(with_exif(&samples[0], 6));
    samples
}

proptest! {
    /// Whatever comes: an answer, and if it is a thumbnail, one of the promised size that can be read.
    #[test]
    fn spoiled_pictures_do_no_harm(
        which in 0..5usize,
        cut in 0..2000usize,
        spoiled in prop::collection::vec((0..2000usize, any::<u8>()), 0..8),
    ) {
        let mut bytes = samples()[which].clone();
        for (at, byte) in spoiled {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        if cut < bytes.len() {
            bytes.truncate(cut);
        }
        // A spoiled size may be a large one: less memory makes that quick.
        let limits = Limits { pixels: 1_000_000, ..Limits::default() };
        let made = std::panic::catch_unwind(|| thumbnail_within(&bytes, 64, &limits));
        // A panic in a decoder is for the worker to catch.
        if let Ok(Ok(made)) = made {
            let small = decoded(&made);
            prop_assert!(small.width() <= 64 && small.height() <= 128);
        }
    }

    #[test]
    fn random_bytes_are_no_picture(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assume!(image::guess_format(&bytes).is_err());
        prop_assert_eq!(thumbnail(&bytes, 64), Err(Unfit::NotAPicture));
    }
}
