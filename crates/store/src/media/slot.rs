//! Slots: what a client may upload, on a ticket that it carries to the HTTP side itself.
//!
//! A slot is granted by a room and used on another thread, or in another process, which needs nothing of it but the realm's secrets: the
//! ticket says all that was agreed. It is sealed, since it stands in a URL, which proxies write into their logs.
//!
//! ```text
//! tag        16 bytes   of HMAC-SHA256 over what follows, as it is before it is sealed
//! sealed:    version 1 (2), name 16, owner 8, registered 8, size 8, until 8, purpose 1, flags 1, [SHA-256 32],
//!            length of the type 1, the type, length of the file's name 1, the file's name
//! ```
//! All of that as base64url without padding (RFC 4648 §5). The key of the cipher (ChaCha20, RFC 8439) and that of the tag follow from the
//! secret; the nonce is the tag's beginning, so that equal nonces mean equal slots (as in RFC 5297).
//!
//! # Promises
//! - A ticket is refused if a bit of it is another one, under another secret, and when its time is over.
//! - Neither the account nor the file's name can be read from it.
//! - It says under which key of its owner it was given; under another one the index does not take what comes with it ([`super::Edit::Store`]).
//! - Nothing is kept for it. That a slot is used once is the index's promise: its name is given once.

use super::{Digest, Name, Purpose};
use crate::AccountId;
use crate::secrets::{Secret, Secrets};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// 1 did not say when its owner had registered: whoever registered a removed number could use what was its former owner's.
const VERSION: u8 = 2;
const TAG_BYTES: usize = 16;
const HAS_DIGEST: u8 = 1;
/// Longest ticket that is looked at.
const TEXT_BYTES_MAX: usize = 1_024;

/// What may be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Under which name.
    pub name: Name,
    /// By whom.
    pub owner: AccountId,
    /// When the owner's key was made, as the record says: a slot is good under that key only.
    pub registered_unix_ms: u64,
    /// How many bytes exactly.
    pub size: u64,
    /// Of what type. At most 255 bytes.
    pub media_type: Box<str>,
    /// Called what. At most 255 bytes.
    pub file_name: Box<str>,
    /// What for.
    pub purpose: Purpose,
    /// Until when an upload may begin.
    pub until_unix_ms: u64,
    /// With this hash, if one was said.
    pub sha256: Option<Digest>,
}

/// Why a ticket is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotError {
    /// It is not one of ours, or not as it was.
    Invalid,
    /// Its time is over.
    Late,
}

/// The keys under which slots are sealed: the current secret's first, then those of the former.
#[derive(Clone)]
pub struct SlotKeys {
    sealing: Pair,
    /// Those of the former secret, and until when they are good.
    former: Option<(Pair, u64)>,
}

/// The keys of one secret.
#[derive(Clone)]
struct Pair {
    cipher: [u8; 32],
    tag: [u8; 32],
}

impl fmt::Debug for SlotKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotKeys(…)")
    }
}

impl SlotKeys {
    /// The keys that follow from the realm's secrets.
    pub fn new(secrets: impl Into<Secrets>) -> Self {
        let secrets = secrets.into();
        let former = secrets.former.map(|former| (Pair::new(&former.secret), former.until_unix_ms));
        Self { sealing: Pair::new(&secrets.current), former }
    }

    /// The slot's ticket.
    pub fn seal(&self, slot: &Slot) -> String {
        self.sealing.seal(slot)
    }

    /// The slot on a ticket.
    pub fn open(&self, ticket: &str, now_unix_ms: u64) -> Result<Slot, SlotError> {
        let former = self.former.as_ref().filter(|(_, until_unix_ms)| now_unix_ms < *until_unix_ms);
        match (self.sealing.open(ticket, now_unix_ms), former) {
            (Err(SlotError::Invalid), Some((pair, _))) => pair.open(ticket, now_unix_ms),
            (opened, _) => opened,
        }
    }
}

impl Pair {
    fn new(secret: &Secret) -> Self {
        Self {
            cipher: hmac(secret, b"media slots: cipher").into(),
            tag: hmac(secret, b"media slots: tag").into(),
        }
    }

    fn seal(&self, slot: &Slot) -> String {
        let mut bytes = vec![0; TAG_BYTES];
        encode(slot, &mut bytes);
        let tag: [u8; 32] = hmac(&self.tag, &bytes[TAG_BYTES..]).into();
        bytes[..TAG_BYTES].copy_from_slice(&tag[..TAG_BYTES]);
        self.apply(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(&self, ticket: &str, now_unix_ms: u64) -> Result<Slot, SlotError> {
        if ticket.len() > TEXT_BYTES_MAX {
            return Err(SlotError::Invalid);
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| SlotError::Invalid)?;
        if bytes.len() <= TAG_BYTES {
            return Err(SlotError::Invalid);
        }
        self.apply(&mut bytes);
        let (tag, body) = bytes.split_at(TAG_BYTES);
        let mac = Hmac::<Sha256>::new_from_slice(&self.tag).map_err(|_| SlotError::Invalid)?;
        mac.chain_update(body).verify_truncated_left(tag).map_err(|_| SlotError::Invalid)?;
        let slot = decode(body).ok_or(SlotError::Invalid)?;
        if slot.until_unix_ms < now_unix_ms { Err(SlotError::Late) } else { Ok(slot) }
    }

    fn apply(&self, bytes: &mut [u8]) {
        let (tag, body) = bytes.split_at_mut(TAG_BYTES);
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&tag[..12]);
        ChaCha20::new(&self.cipher.into(), &nonce.into()).apply_keystream(body);
    }
}

fn hmac(key: &[u8], data: &[u8]) -> impl Into<[u8; 32]> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(data).finalize().into_bytes()
}

fn encode(slot: &Slot, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.extend_from_slice(&slot.name.0.to_be_bytes());
    out.extend_from_slice(&slot.owner.to_bits().to_be_bytes());
    out.extend_from_slice(&slot.registered_unix_ms.to_be_bytes());
    out.extend_from_slice(&slot.size.to_be_bytes());
    out.extend_from_slice(&slot.until_unix_ms.to_be_bytes());
    out.push(slot.purpose.to_byte());
    out.push(if slot.sha256.is_some() { HAS_DIGEST } else { 0 });
    out.extend_from_slice(slot.sha256.as_ref().map_or(&[][..], |digest| digest));
    for text in [&slot.media_type, &slot.file_name] {
        debug_assert!(text.len() <= 255, "whoever makes slots keeps them short");
        let mut end = text.len().min(255);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        out.push(end as u8);
        out.extend_from_slice(&text.as_bytes()[..end]);
    }
}

fn decode(body: &[u8]) -> Option<Slot> {
    let mut rest = body;
    if take::<1>(&mut rest)? != [VERSION] {
        return None;
    }
    let name = Name(u128::from_be_bytes(take(&mut rest)?));
    let owner = AccountId::from_bits(u64::from_be_bytes(take(&mut rest)?));
    let registered_unix_ms = u64::from_be_bytes(take(&mut rest)?);
    let size = u64::from_be_bytes(take(&mut rest)?);
    let until_unix_ms = u64::from_be_bytes(take(&mut rest)?);
    let [purpose, flags] = take(&mut rest)?;
    let purpose = Purpose::from_byte(purpose)?;
    let sha256 = if flags & HAS_DIGEST != 0 { Some(take(&mut rest)?) } else { None };
    let (media_type, file_name) = (text(&mut rest)?, text(&mut rest)?);
    rest.is_empty().then_some(Slot {
        name,
        owner,
        registered_unix_ms,
        size,
        media_type,
        file_name,
        purpose,
        until_unix_ms,
        sha256,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

fn text(rest: &mut &[u8]) -> Option<Box<str>> {
    let [length] = take(rest)?;
    let (text, behind) = rest.split_at_checked(length.into())?;
    *rest = behind;
    std::str::from_utf8(text).ok().map(Box::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Former;
    use proptest::prelude::*;

    fn slot() -> Slot {
        Slot {
            name: Name(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
            owner: AccountId::phone(15_551_230_001).expect("a number"),
            registered_unix_ms: 1_800_000_000_000,
            size: 23_456,
            media_type: "image/jpeg".into(),
            file_name: "Grüße.jpg".into(),
            purpose: Purpose::Message,
            until_unix_ms: 1_900_000_000_000,
            sha256: None,
        }
    }

    #[test]
    fn a_ticket_of_a_replaced_secret_is_taken_while_that_is_good() {
        let ticket = SlotKeys::new([7; 16]).seal(&slot());
        let former = Former { secret: [7; 16], until_unix_ms: 1_850_000_000_000 };
        let keys = SlotKeys::new(Secrets { former: Some(former), ..Secrets::from([8; 16]) });
        assert_eq!(keys.open(&ticket, 1_849_999_999_999), Ok(slot()));
        assert_eq!(keys.open(&ticket, 1_850_000_000_000), Err(SlotError::Invalid));
        assert_eq!(keys.open(&keys.seal(&slot()), slot().until_unix_ms), Ok(slot()));
        let late = Former { until_unix_ms: u64::MAX, ..former };
        let keys = SlotKeys::new(Secrets { former: Some(late), ..Secrets::from([8; 16]) });
        assert_eq!(keys.open(&ticket, slot().until_unix_ms + 1), Err(SlotError::Late));
    }

    #[test]
    fn a_slot_comes_back_in_its_time() {
        let keys = SlotKeys::new([7; 16]);
        let with_hash = Slot { sha256: Some([9; 32]), purpose: Purpose::Profile, ..slot() };
        for slot in [slot(), with_hash] {
            let ticket = keys.seal(&slot);
            assert!(ticket.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{ticket}");
            assert_eq!(keys.open(&ticket, slot.until_unix_ms), Ok(slot.clone()));
            assert_eq!(keys.open(&ticket, slot.until_unix_ms + 1), Err(SlotError::Late));
            assert_eq!(SlotKeys::new([8; 16]).open(&ticket, 0), Err(SlotError::Invalid));
        }
    }

    #[test]
    fn a_ticket_tells_nothing() {
        let ticket = SlotKeys::new([7; 16]).seal(&slot());
        let bytes = URL_SAFE_NO_PAD.decode(&ticket).expect("base64url");
        let hides = |what: &[u8]| !bytes.windows(what.len()).any(|window| window == what);
        assert!(hides(&15_551_230_001_u64.to_be_bytes()) && hides(b"jpeg") && hides("Grüße".as_bytes()));
        assert_eq!(format!("{:?}", SlotKeys::new([7; 16])), "SlotKeys(…)");
    }

    #[test]
    fn what_is_none_of_ours_is_refused() {
        let keys = SlotKeys::new([7; 16]);
        for bad in ["", "A", "AAAA", &"A".repeat(22), &"A".repeat(200), &"A".repeat(5_000), "not base64!"] {
            assert_eq!(keys.open(bad, 0), Err(SlotError::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_ticket_of_an_earlier_version_is_refused() {
        let keys = Pair::new(&[7; 16]);
        let mut bytes = vec![0; TAG_BYTES];
        encode(&slot(), &mut bytes);
        bytes[TAG_BYTES] = 1;
        bytes.drain(TAG_BYTES + 25..TAG_BYTES + 33);
        let tag: [u8; 32] = hmac(&keys.tag, &bytes[TAG_BYTES..]).into();
        bytes[..TAG_BYTES].copy_from_slice(&tag[..TAG_BYTES]);
        keys.apply(&mut bytes);
        assert_eq!(keys.open(&URL_SAFE_NO_PAD.encode(bytes), 0), Err(SlotError::Invalid));
    }

    proptest! {
        #[test]
        fn one_bit_is_enough(at in 0_usize..2_000, bit in 0_u8..8) {
            let keys = SlotKeys::new([7; 16]);
            let mut bytes = URL_SAFE_NO_PAD.decode(keys.seal(&slot())).expect("base64url");
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(keys.open(&URL_SAFE_NO_PAD.encode(&bytes), 0), Err(SlotError::Invalid));
            bytes.truncate(at);
            prop_assert_eq!(keys.open(&URL_SAFE_NO_PAD.encode(&bytes), 0), Err(SlotError::Invalid));
        }

        #[test]
        fn any_slot_comes_back(size: u64, name: u128, owner: u64, registered_unix_ms: u64, media_type in "[a-z/]{0,255}", file_name in ".{0,60}") {
            let (media_type, file_name) = (media_type.into(), file_name.into());
            let slot = Slot { size, name: Name(name), owner: AccountId::from_bits(owner), registered_unix_ms, media_type, file_name, ..slot() };
            let keys = SlotKeys::new([3; 16]);
            prop_assert_eq!(keys.open(&keys.seal(&slot), 0), Ok(slot));
        }
    }
}
