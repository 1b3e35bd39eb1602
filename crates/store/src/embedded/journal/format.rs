//! The journal's format, version 3. All integers are little-endian.
//!
//! ```text
//! segment   header (64 bytes), frames without gaps, zeros to the end of the file (preallocated room)
//!
//! header    0  "CHSKJRNL"
//!           8  u32 format version
//!          12  u32 zero
//!          16  u64 segment number, as in the file's name
//!          24  u64 number of its first frame
//!          32  u64 when it was made, Unix time in milliseconds
//!          40  u32 checksum of the 40 bytes before
//!          44  zeros
//!
//! frame     0  "CFRM"
//!           4  u32 length of the payload
//!           8  u64 frame number: one more than the frame's before, also across segments
//!          16  u32 checksum of the 16 bytes before and the payload
//!          20  payload: records without gaps. First what was appended, then what SQLite is to do, then what was acknowledged
//!
//! record append    0x01  u64 account  u64 seq  u128 message id  u64 accepted, Unix ms  u32 length  stanza
//! record ack       0x02  u64 account  varint count  varint first seq  varint difference to the one before, ...
//! record purge     0x03  u64 account  u64 seq: everything of the account up to here is gone. Not written any more
//! record effect    0x04  u64 zero  u32 length  what SQLite is to do (`effects.rs`)
//! ```
//!
//! The checksum is CRC-32 (ISO-HDLC) that starts from a value derived from the data directory's secret, so that
//! nothing a client sends can look like a frame. Varints are LEB128; differences wrap around 2^64.
//!
//! A frame is written when the one before it has been synced. So what follows a frame says that it was confirmed, and an
//! unreadable frame with something behind it is damage; an unreadable end with nothing behind it is a write that a crash
//! tore. What follows is
//! - another frame. When nothing has come for a second it is a *mark*: a frame without records, synced like any other;
//! - a segment with a later number. The number of its first frame says how far the segments before it count: frames there
//!   with this number or a higher one, readable or not, were never confirmed and are void. That is how the writer goes on
//!   after a failed write or sync (`writer/failure.rs`): the frame is written anew under the same number elsewhere.
//!
//! Which segments there must be stands in a file beside the journal, see `roll.rs`.
//!
//! The effects of cursors stand behind the acknowledgements, with which they come and which a full disk takes, too.
//!
//! Version 1 had neither marks nor void frames nor the roll, version 2 no effects. Both are still read.

use super::effects::Numbered;
use crate::{AccountId, Append, MessageId, Seq};

/// The version that this program writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 3;
/// The oldest version that this program reads.
const VERSION_OLDEST: u32 = 1;
/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 20;
/// How a frame begins.
pub(crate) const FRAME_MAGIC: &[u8; 4] = b"CFRM";
const SEGMENT_MAGIC: &[u8; 8] = b"CHSKJRNL";

const APPEND: u8 = 1;
const ACK: u8 = 2;
const PURGE: u8 = 3;
const EFFECT: u8 = 4;

/// What the checksums of one data directory start from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(u32);

impl Seed {
    /// The seed of the data directory with this secret.
    pub(crate) fn of(secret: &[u8; 16]) -> Self {
        Self(crc32fast::hash(secret))
    }

    pub(crate) fn checksum(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize()
    }
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) first_frame: u64,
    pub(crate) created_unix_ms: u64,
}

/// Why a segment's header is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Not readable.
    Damaged,
    /// Readable, and of a version that this program doesn't know.
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self, seed: Seed) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_unix_ms.to_le_bytes());
        let checksum = seed.checksum(&[&bytes[..40]]);
        bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Result<Self, HeaderError> {
        let mut fields = Fields(bytes.get(..SEGMENT_HEADER).ok_or(HeaderError::Damaged)?);
        let checksum = seed.checksum(&[&bytes[..40]]);
        let mut decode = || -> Option<(bool, u32, Self, u32)> {
            let magic = fields.take(8)? == SEGMENT_MAGIC;
            let version = fields.u32()?;
            fields.u32()?;
            let header =
                Self { number: fields.u64()?, first_frame: fields.u64()?, created_unix_ms: fields.u64()? };
            Some((magic, version, header, fields.u32()?))
        };
        match decode() {
            Some((true, version, header, found)) if found == checksum => match version {
                VERSION_OLDEST..=VERSION => Ok(header),
                _ => Err(HeaderError::Newer(version)),
            },
            _ => Err(HeaderError::Damaged),
        }
    }
}

/// Fills in the header of a frame whose payload stands behind [`FRAME_HEADER`] free bytes in `frame`.
pub(crate) fn finish_frame(frame: &mut [u8], number: u64, seed: Seed) {
    let (header, payload) = frame.split_at_mut(FRAME_HEADER);
    header[..4].copy_from_slice(FRAME_MAGIC);
    header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&number.to_le_bytes());
    let checksum = seed.checksum(&[&header[..16], payload]);
    header[16..].copy_from_slice(&checksum.to_le_bytes());
}

/// The frame at the start of `bytes`: its number and payload, or `None` if there is no intact one.
pub(crate) fn decode_frame(bytes: &[u8], seed: Seed) -> Option<(u64, &[u8])> {
    let mut fields = Fields(bytes);
    if fields.take(4)? != FRAME_MAGIC {
        return None;
    }
    let length = fields.u32()? as usize;
    let number = fields.u64()?;
    let checksum = fields.u32()?;
    let payload = fields.take(length)?;
    (seed.checksum(&[&bytes[..16], payload]) == checksum).then_some((number, payload))
}

/// Adds an append record to a payload.
pub(crate) fn encode_append(payload: &mut Vec<u8>, seq: Seq, append: &Append) {
    payload.reserve(45 + append.stanza.len());
    payload.push(APPEND);
    payload.extend_from_slice(&append.account.to_bits().to_le_bytes());
    payload.extend_from_slice(&seq.0.to_le_bytes());
    payload.extend_from_slice(&append.id.0.to_le_bytes());
    payload.extend_from_slice(&append.accepted_unix_ms.to_le_bytes());
    payload.extend_from_slice(&(append.stanza.len() as u32).to_le_bytes());
    append.stanza.pieces().iter().for_each(|piece| payload.extend_from_slice(piece));
}

/// Adds an acknowledge record to a payload.
pub(crate) fn encode_ack(payload: &mut Vec<u8>, account: AccountId, seqs: &[Seq]) {
    payload.push(ACK);
    payload.extend_from_slice(&account.to_bits().to_le_bytes());
    encode_varint(payload, seqs.len() as u64);
    let mut before = 0u64;
    for seq in seqs {
        encode_varint(payload, seq.0.wrapping_sub(before));
        before = seq.0;
    }
}

/// Adds an effect record to a payload.
pub(crate) fn encode_effect(payload: &mut Vec<u8>, effect: &Numbered) {
    payload.push(EFFECT);
    payload.extend_from_slice(&[0; 12]);
    let start = payload.len();
    effect.encode(payload);
    let length = (payload.len() - start) as u32;
    payload[start - 4..start].copy_from_slice(&length.to_le_bytes());
}

fn encode_varint(payload: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        payload.push(value as u8 | 0x80);
        value >>= 7;
    }
    payload.push(value as u8);
}

/// A record read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Append { account: AccountId, seq: Seq, id: MessageId, accepted_unix_ms: u64, stanza: &'a [u8] },
    Ack { account: AccountId, seq: Seq },
    Purge { account: AccountId, upto: Seq },
    Effect(Numbered),
}

/// Calls `each` with every record of a payload. `None` if it doesn't follow the format, which an intact frame does.
pub(crate) fn records<'a>(payload: &'a [u8], mut each: impl FnMut(Record<'a>)) -> Option<()> {
    let mut fields = Fields(payload);
    while let Some(kind) = fields.u8() {
        let account = AccountId::from_bits(fields.u64()?);
        match kind {
            APPEND => {
                let seq = Seq(fields.u64()?);
                let id = MessageId(fields.u128()?);
                let accepted_unix_ms = fields.u64()?;
                let length = fields.u32()? as usize;
                let stanza = fields.take(length)?;
                each(Record::Append { account, seq, id, accepted_unix_ms, stanza });
            }
            ACK => {
                let mut seq = 0u64;
                for _ in 0..fields.varint()? {
                    seq = seq.wrapping_add(fields.varint()?);
                    each(Record::Ack { account, seq: Seq(seq) });
                }
            }
            PURGE => each(Record::Purge { account, upto: Seq(fields.u64()?) }),
            EFFECT => {
                let length = fields.u32()? as usize;
                each(Record::Effect(Numbered::decode(fields.take(length)?)?));
            }
            _ => return None,
        }
    }
    Some(())
}

/// Reads fields off the start of a slice.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::effects::Effect;
    use super::*;
    use proptest::prelude::*;

    fn seed() -> Seed {
        Seed::of(&[7; 16])
    }

    #[test]
    fn a_segment_header_is_read_back_and_only_with_its_own_seed() {
        let header = SegmentHeader { number: 3, first_frame: 9, created_unix_ms: 5 };
        let bytes = header.encode(seed());
        assert_eq!(SegmentHeader::decode(&bytes, seed()), Ok(header));
        assert_eq!(SegmentHeader::decode(&bytes, Seed::of(&[8; 16])), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::decode(&bytes[..63], seed()), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::decode(&[0; 64], seed()), Err(HeaderError::Damaged));
    }

    #[test]
    fn a_newer_segment_is_told_from_a_damaged_one() {
        let mut bytes = SegmentHeader { number: 3, first_frame: 9, created_unix_ms: 5 }.encode(seed());
        bytes[8] = 4;
        assert_eq!(SegmentHeader::decode(&bytes, seed()), Err(HeaderError::Damaged));
        let checksum = seed().checksum(&[&bytes[..40]]);
        bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes, seed()), Err(HeaderError::Newer(4)));
    }

    #[test]
    fn segments_of_earlier_versions_are_still_read() {
        let header = SegmentHeader { number: 3, first_frame: 9, created_unix_ms: 5 };
        for version in 1..VERSION {
            let mut bytes = header.encode(seed());
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let checksum = seed().checksum(&[&bytes[..40]]);
            bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
            assert_eq!(SegmentHeader::decode(&bytes, seed()), Ok(header), "version {version}");
        }
    }

    #[test]
    fn a_purge_of_an_earlier_version_is_still_read() {
        let mut payload = vec![PURGE];
        payload.extend_from_slice(&5u64.to_le_bytes());
        payload.extend_from_slice(&9u64.to_le_bytes());
        let mut found = Vec::new();
        assert!(records(&payload, |record| found.push(record)).is_some());
        assert_eq!(found, [Record::Purge { account: AccountId::from_bits(5), upto: Seq(9) }]);
    }

    proptest! {
        #[test]
        fn records_are_read_back(
            stanza in proptest::collection::vec(any::<u8>(), 0..300),
            seqs in proptest::collection::vec(any::<u64>(), 0..20),
            id: u128, account: u64, upto: u64,
        ) {
            let account = AccountId::from_bits(account);
            let append = Append {
                account, id: MessageId(id), accepted_unix_ms: 77, stanza: stanza.clone().into(),
                sender: crate::Sender::contact(account), ticket: crate::Ticket(0),
            };
            let mut frame = vec![0; FRAME_HEADER];
            encode_append(&mut frame, Seq(upto), &append);
            let seqs: Vec<Seq> = seqs.into_iter().map(Seq).collect();
            encode_ack(&mut frame, account, &seqs);
            let purge = Effect::Purge { accounts: vec![account], upto: Seq(upto) };
            let purge = Numbered { revision: crate::Revision(upto), effect: purge };
            encode_effect(&mut frame, &purge);
            finish_frame(&mut frame, 5, seed());
            let (number, payload) = decode_frame(&frame, seed()).expect("intact");
            prop_assert_eq!(number, 5);
            let mut expected =
                vec![Record::Append { account, seq: Seq(upto), id: MessageId(id), accepted_unix_ms: 77, stanza: &stanza }];
            expected.extend(seqs.iter().map(|&seq| Record::Ack { account, seq }));
            expected.push(Record::Effect(purge));
            let mut found = Vec::new();
            prop_assert!(records(payload, |record| found.push(record)).is_some());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_changed_byte_is_noticed(at in 0usize..60, bit in 0u8..8) {
            let mut frame = vec![0; FRAME_HEADER];
            encode_ack(&mut frame, AccountId::from_bits(5), &[Seq(1); 31]);
            finish_frame(&mut frame, 5, seed());
            prop_assert_eq!(frame.len(), 61);
            frame[at] ^= 1 << bit;
            prop_assert!(decode_frame(&frame, seed()).is_none());
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&bytes, |_| ());
            let _ = decode_frame(&bytes, seed());
            let _ = SegmentHeader::decode(&bytes, seed());
        }
    }
}
