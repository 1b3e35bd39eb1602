//! What the headers of a resumable upload say (tus 1.0.0, "Headers" and "Checksum"). Pure.

use super::super::Trouble;
use crate::staging::METADATA_BYTES_MAX;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const PATCH_TYPE: &str = "application/offset+octet-stream";
/// Years that a date has four digits for.
const LAST_DATE_S: u64 = 253_402_300_799;

const BAD: Trouble = Trouble::new(StatusCode::BAD_REQUEST, "A header of this upload can't be read.");
const BAD_TYPE: Trouble = Trouble::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "What goes on is of type application/offset+octet-stream.",
);
const OTHER_CHECKSUM: Trouble =
    Trouble::new(StatusCode::BAD_REQUEST, "Checksums are sha1 or sha256, in base64 (Upload-Checksum).");
const MUCH_METADATA: Trouble =
    Trouble::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Metadata is at most 2,048 bytes long.");

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) offset: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) metadata: Box<str>,
    pub(super) checksum: Option<Checksum>,
    /// How long this request's body is, if it says so.
    pub(super) body: Option<u64>,
    /// It has a body that is part of the file.
    pub(super) has_bytes: bool,
    is_typed: bool,
}

impl Said {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Trouble> {
        let text =
            |name| headers.get(name).map(|value: &HeaderValue| value.to_str().map_err(|_| BAD)).transpose();
        let number = |name| text(name)?.map(|text| digits(text).ok_or(BAD)).transpose();
        let is_typed =
            text(header::CONTENT_TYPE)?.is_some_and(|it| it.trim().eq_ignore_ascii_case(PATCH_TYPE));
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        let body = if is_chunked { None } else { number(header::CONTENT_LENGTH)? };
        let metadata = text(UPLOAD_METADATA)?.unwrap_or_default();
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(MUCH_METADATA);
        }
        let checksum = text(HeaderName::from_static("upload-checksum"))?;
        Ok(Self {
            offset: number(UPLOAD_OFFSET)?,
            length: number(UPLOAD_LENGTH)?,
            metadata: metadata.into(),
            checksum: checksum.map(|said| Checksum::read(said).ok_or(OTHER_CHECKSUM)).transpose()?,
            body,
            has_bytes: is_typed && (is_chunked || body.is_none_or(|length| length > 0)),
            is_typed,
        })
    }

    /// What every `PATCH` has to say.
    pub(super) fn is_patch(&self) -> Result<(), Trouble> {
        if !self.is_typed {
            return Err(BAD_TYPE);
        }
        self.offset.map(drop).ok_or(BAD)
    }
}

/// Nothing but digits.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What the bytes of a request are to hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Checksum {
    fn read(said: &str) -> Option<Self> {
        let (algorithm, hash) = said.trim().split_once(' ')?;
        let hash = STANDARD.decode(hash.trim()).ok()?;
        match algorithm {
            "sha1" => hash.try_into().ok().map(Self::Sha1),
            "sha256" => hash.try_into().ok().map(Self::Sha256),
            _ => None,
        }
    }

    pub(super) fn summing(&self) -> Summing {
        match self {
            Self::Sha1(_) => Summing::Sha1(Sha1::new()),
            Self::Sha256(_) => Summing::Sha256(Sha256::new()),
        }
    }
}

/// A sum that is being made.
pub(super) enum Summing {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Summing {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
        }
    }

    pub(super) fn is(self, said: &Checksum) -> bool {
        match (self, said) {
            (Self::Sha1(sum), Checksum::Sha1(said)) => sum.finalize()[..] == said[..],
            (Self::Sha256(sum), Checksum::Sha256(said)) => sum.finalize()[..] == said[..],
            _ => false,
        }
    }
}

/// A time as RFC 9110 §5.6.7 has it.
pub(super) fn date(unix_ms: u64) -> Option<HeaderValue> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs((unix_ms / 1_000).min(LAST_DATE_S));
    HeaderValue::from_str(&httpdate::fmt_http_date(at)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(headers: &[(&'static str, &'static str)]) -> Result<Said, Trouble> {
        Said::read(
            &headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect(),
        )
    }

    #[test]
    fn numbers_are_digits_and_checksums_of_two_kinds() {
        let patch = [
            ("content-type", "Application/Offset+octet-stream"),
            ("upload-offset", "007"),
            ("content-length", "5"),
            ("upload-checksum", "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        ];
        let read = said(&patch).expect("it is as it should be");
        assert!(read.is_patch().is_ok() && read.has_bytes && (read.offset, read.body) == (Some(7), Some(5)));
        let checksum = read.checksum.expect("one was said");
        let mut sum = checksum.summing();
        sum.add(b"hel");
        sum.add(b"lo");
        assert!(sum.is(&checksum));
        let mut sum = checksum.summing();
        sum.add(b"Hello");
        assert!(!sum.is(&checksum));
        for bad in ["-1", "+1", " 1", "", "1 2", "99999999999999999999", "0x1"] {
            assert_eq!(said(&[("upload-offset", bad)]), Err(BAD), "{bad:?}");
        }
        for bad in [
            "md5 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            "sha1",
            "sha1 AAAA",
            "sha256 !",
            "SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        ] {
            assert_eq!(said(&[("upload-checksum", bad)]), Err(OTHER_CHECKSUM), "{bad:?}");
        }
        let bare = said(&[("content-length", "5")]).expect("nothing is wrong with it");
        assert_eq!((bare.is_patch(), bare.has_bytes), (Err(BAD_TYPE), false));
    }

    #[test]
    fn dates_are_dates() {
        assert_eq!(date(784_111_777_123).expect("a date"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(date(u64::MAX).is_some());
    }
}
