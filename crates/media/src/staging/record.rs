//! What stands on the disk of an unfinished upload.
//!
//! ```text
//! 0      version "tus1", check 8, owner 8, size 8, end 8, length of the metadata 2, the metadata    written once
//! 4096   offset 8, check 8          written in turn, so that a write
//! 4608   offset 8, check 8          that a power cut tears spoils one of them
//! ```
//! A check is the beginning of SHA-256 over the name and what it is for. Of the two offsets the larger one counts, since it never goes back.

use super::Unfinished;
use chaski_store::AccountId;
use chaski_store::media::Name;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

const VERSION: &[u8; 4] = b"tus1";
/// Longest metadata.
pub(crate) const METADATA_BYTES_MAX: usize = 2_048;
const HEAD_BYTES: usize = 4 + 8 + 8 + 8 + 8 + 2;
/// In blocks of their own.
const MARKS: [u64; 2] = [4_096, 4_608];

/// See the module.
pub(super) struct Record;

impl Record {
    pub(super) fn write_new(file: &File, name: Name, new: &Unfinished) -> io::Result<()> {
        let mut body = Vec::with_capacity(HEAD_BYTES + new.metadata.len());
        for number in [new.owner.to_bits(), new.size, new.expires_unix_ms] {
            body.extend_from_slice(&number.to_be_bytes());
        }
        let length = u16::try_from(new.metadata.len()).map_err(|_| ErrorKind::InvalidInput)?;
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(new.metadata.as_bytes());
        let all = [&VERSION[..], &check(name, &body), &body].concat();
        file.write_all_at(&all, 0)
    }

    pub(super) fn write_offset(file: &File, name: Name, offset: u64) -> io::Result<()> {
        let bytes = offset.to_be_bytes();
        let mark = [bytes, check(name, &bytes)].concat();
        // The one that is not the larger.
        let at = match offsets(file, name)? {
            [Some(first), second] if second.is_none_or(|second| second < first) => MARKS[1],
            _ => MARKS[0],
        };
        file.write_all_at(&mark, at)
    }

    pub(super) fn read(file: &File, name: Name) -> io::Result<Unfinished> {
        let mut bytes = vec![0; HEAD_BYTES + METADATA_BYTES_MAX];
        let count = read_at(file, &mut bytes, 0)?;
        bytes.truncate(count);
        let nothing = || io::Error::from(ErrorKind::InvalidData);
        let mut found = parse(&bytes, name).ok_or_else(nothing)?;
        let offset = offsets(file, name)?.into_iter().flatten().max();
        found.offset = offset.filter(|offset| *offset <= found.size).unwrap_or(0);
        Ok(found)
    }
}

fn parse(bytes: &[u8], name: Name) -> Option<Unfinished> {
    let body = bytes.strip_prefix(VERSION)?;
    let (said, body) = body.split_first_chunk::<8>()?;
    let mut rest = body;
    let mut number = || {
        let (first, behind) = rest.split_first_chunk::<8>()?;
        rest = behind;
        Some(u64::from_be_bytes(*first))
    };
    let (owner, size, expires_unix_ms) = (number()?, number()?, number()?);
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let metadata = rest.get(..u16::from_be_bytes(*length).into())?;
    let body = &body[..24 + 2 + metadata.len()];
    (*said == check(name, body)).then_some(())?;
    let metadata = std::str::from_utf8(metadata).ok()?.into();
    Some(Unfinished { owner: AccountId::from_bits(owner), size, offset: 0, expires_unix_ms, metadata })
}

fn offsets(file: &File, name: Name) -> io::Result<[Option<u64>; 2]> {
    let mut found = [None; 2];
    for (at, found) in MARKS.into_iter().zip(&mut found) {
        let mut mark = [0; 16];
        if read_at(file, &mut mark, at)? == mark.len() {
            let (offset, said) = mark.split_at(8);
            let offset: [u8; 8] = offset.try_into().unwrap_or_default();
            *found = (check(name, &offset) == said).then_some(u64::from_be_bytes(offset));
        }
    }
    Ok(found)
}

fn check(name: Name, of: &[u8]) -> [u8; 8] {
    let hash = Sha256::new().chain_update(name.0.to_be_bytes()).chain_update(of).finalize();
    let mut check = [0; 8];
    check.copy_from_slice(&hash[..8]);
    check
}

/// As much as there is.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_mark_takes_nothing_that_was_durable_before() {
        let file = tempfile::tempfile().expect("a file");
        let owner = AccountId::phone(15_551_230_001).expect("a number");
        let new =
            Unfinished { owner, size: 1_000, offset: 0, expires_unix_ms: 7, metadata: "a Yg==,c".into() };
        Record::write_new(&file, Name(3), &new).expect("written");
        assert_eq!(Record::read(&file, Name(3)).expect("read"), new);
        assert!(Record::read(&file, Name(4)).is_err(), "it is another one's");
        for (turn, offset) in [100, 200, 300, 400].into_iter().enumerate() {
            Record::write_offset(&file, Name(3), offset).expect("written");
            assert_eq!(Record::read(&file, Name(3)).expect("read").offset, offset);
            // The power goes in the middle of it: then the one before counts.
            let mut mark = [0; 16];
            file.read_exact_at(&mut mark, MARKS[turn % 2]).expect("read");
            file.write_all_at(b"torn", MARKS[turn % 2] + 6).expect("written");
            assert_eq!(Record::read(&file, Name(3)).expect("read").offset, offset - 100);
            file.write_all_at(&mark, MARKS[turn % 2]).expect("written");
        }
        Record::write_offset(&file, Name(3), 2_000).expect("written");
        assert_eq!(Record::read(&file, Name(3)).expect("read").offset, 0, "more than there can be");
        file.write_all_at(b"x", 20).expect("written");
        assert!(Record::read(&file, Name(3)).is_err());
    }
}
