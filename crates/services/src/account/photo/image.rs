//! What kind of picture some bytes are, by their first bytes and headers alone: nothing is decoded.
//!
//! Pure. The server must not hand on as a picture what a browser or client would run, nor a header that promises a picture too
//! large to be unpacked. Bytes of an unknown kind that are not markup are passed on as they are: clients judge.

/// Longest side in pixels.
const SIDE_MAX: u32 = 4_096;

/// A picture's kind and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) mime: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The bytes claim to be a picture and are none, or their size is absurd, or they are markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The picture, or `None` for bytes that are of no kind we know.
pub(crate) fn recognise(bytes: &[u8]) -> Result<Option<Image>, Malformed> {
    let (mime, size) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        ("image/png", png(bytes))
    } else if bytes.starts_with(b"\xFF\xD8\xFF") {
        ("image/jpeg", jpeg(bytes))
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        ("image/gif", gif(bytes))
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        ("image/webp", webp(bytes))
    } else if is_markup(bytes) {
        return Err(Malformed);
    } else {
        return Ok(None);
    };
    let (width, height) = size.ok_or(Malformed)?;
    let sane = 1..=SIDE_MAX;
    let is_sane = sane.contains(&width) && sane.contains(&height);
    is_sane.then_some(Some(Image { mime, width, height })).ok_or(Malformed)
}

/// Whether this is markup such as SVG or HTML: it begins with `<` after white space and byte order marks of any width.
fn is_markup(bytes: &[u8]) -> bool {
    let first = bytes
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0 | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF));
    first == Some(&b'<')
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.get(8..24).filter(|header| header.starts_with(b"\0\0\0\x0DIHDR"))?;
    let side = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    Some((side(8)?, side(12)?))
}

fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((le16(bytes, 6)?, le16(bytes, 8)?))
}

/// Walks from marker to marker until the frame header. Each step goes on by two bytes at least.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xFF {
            return None;
        }
        match *bytes.get(at + 1)? {
            // Padding.
            0xFF => at += 1,
            // Frames of all kinds; C4, C8 and CC are tables.
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Some((be16(bytes, at + 7)?, be16(bytes, at + 5)?));
            }
            // Without length.
            0x01 | 0xD0..=0xD8 => at += 2,
            // The picture's data or its end has come without a frame header before it.
            0xD9 | 0xDA => return None,
            _ => at += 2 + be16(bytes, at + 2)?.max(2) as usize,
        }
    }
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let chunk = bytes.get(20..)?;
    match bytes.get(12..16)? {
        b"VP8 " => {
            let is_key_frame = chunk.get(3..6) == Some(b"\x9D\x01\x2A");
            is_key_frame.then_some(())?;
            Some((le16(chunk, 6)? & 0x3FFF, le16(chunk, 8)? & 0x3FFF))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(chunk.get(1..5)?.try_into().ok()?);
            (chunk[0] == 0x2F).then_some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        b"VP8X" => {
            let side = |at: usize| Some(le16(chunk, at)? | u32::from(*chunk.get(at + 2)?) << 16);
            Some((side(4)? + 1, side(7)? + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn png_of(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    fn found(bytes: &[u8]) -> Option<(&'static str, u32, u32)> {
        recognise(bytes).unwrap().map(|image| (image.mime, image.width, image.height))
    }

    #[test]
    fn each_kind_with_its_size() {
        assert_eq!(found(&png_of(64, 32)), Some(("image/png", 64, 32)));
        assert_eq!(found(b"GIF89a\x40\0\x20\0"), Some(("image/gif", 64, 32)));
        let jpeg = b"\xFF\xD8\xFF\xE0\0\x04JF\xFF\xFF\xC0\0\x11\x08\0\x20\0\x40";
        assert_eq!(found(jpeg), Some(("image/jpeg", 64, 32)));
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9D\x01\x2A\x40\0\x20\0";
        assert_eq!(found(lossy), Some(("image/webp", 64, 32)));
        let lossless =
            [b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2F".as_slice(), &(63u32 | 31 << 14).to_le_bytes()].concat();
        assert_eq!(found(&lossless), Some(("image/webp", 64, 32)));
        let extended = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x3F\0\0\x1F\0\0";
        assert_eq!(found(extended), Some(("image/webp", 64, 32)));
        assert_eq!(found(b"coucou coucou"), None);
        assert_eq!(found(b""), None);
    }

    #[test]
    fn what_only_says_that_it_is_a_picture() {
        for malformed in [
            &b"\x89PNG\r\n\x1a\n"[..],
            &png_of(0, 5),
            &png_of(100_000, 100_000),
            b"\xFF\xD8\xFF\xE0\0\x04JF",
            b"\xFF\xD8\xFF\xDA",
            b"GIF89a\x01",
            b"RIFF\0\0\0\0WEBPVP8?\0\0\0\0",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\xEF\xBB\xBF \n<html>",
            b"\xFF\xFE<\0s\0v\0g\0",
        ] {
            assert_eq!(recognise(malformed), Err(Malformed), "{malformed:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(start in 0..6usize, rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let starts: [&[u8]; 6] = [b"", b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8L"];
            let bytes = [starts[start], &rest].concat();
            _ = recognise(&bytes);
        }
    }
}
