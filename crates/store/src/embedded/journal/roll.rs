//! The roll: which segments there must be, in a file beside the journal, so that one that is missing is missed.
//!
//! `DATA/journal.roll`: two slots of 4,096 bytes, text that ends in spaces. The one with a valid checksum and the higher
//! generation counts.
//!
//! ```text
//! chaski journal roll
//! generation 8
//! next 18
//! segments 12-14 17
//! checksum 1a2b3c4d
//! ```
//!
//! `next`: segments with this number or a higher one were made after the roll was written. The checksum is the journal's
//! ([`super::format`]) of the four lines before.
//!
//! Kept by the journal's writer and by recovery, in this order: a segment is made durable, called on the roll, written
//! to; it is taken off the roll, then unlinked. So every confirmed frame is in a segment on the roll, and a file that is
//! not on it holds nothing that anybody needs, but for one made since (`next`). A change overwrites the older slot, whole,
//! so that it needs no room on a full disk, and one that fails leaves the old roll or the new one: the next change goes to
//! the same slot again.

use super::format::Seed;
use crate::embedded::disk::{Disk, DiskFile, Open};
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "chaski journal roll";
const SLOT: usize = 4096;

/// The segments that there must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Roll {
    /// Ascending.
    pub(crate) segments: Vec<u64>,
    /// Above all of them.
    pub(crate) next: u64,
}

/// The open file.
pub(crate) struct RollFile {
    file: Box<dyn DiskFile>,
    seed: Seed,
    generation: u64,
}

/// The roll's file beside this journal.
pub(crate) fn path(journal: &Path) -> PathBuf {
    journal.with_extension("roll")
}

impl RollFile {
    /// Opens the roll and reads it; `None` if it is damaged.
    pub(crate) fn open(disk: &dyn Disk, journal: &Path, seed: Seed) -> io::Result<Option<(Self, Roll)>> {
        let file = disk.open(&path(journal), Open::Existing)?;
        let mut newest: Option<(u64, Roll)> = None;
        for slot in 0..2 {
            let mut bytes = vec![0; SLOT];
            let read = file.read_at(&mut bytes, slot * SLOT as u64)?;
            let found = decode(&bytes[..read], seed);
            newest = newest.into_iter().chain(found).max_by_key(|(generation, _)| *generation);
        }
        Ok(newest.map(|(generation, roll)| (Self { file, seed, generation }, roll)))
    }

    /// Makes the file anew, durably, with this roll. Under another name first, so that there is never half a file.
    pub(crate) fn create(disk: &dyn Disk, journal: &Path, seed: Seed, roll: &Roll) -> io::Result<Self> {
        let path = path(journal);
        let new = path.with_extension("roll.new");
        let mut made = Self { file: disk.open(&new, Open::Any)?, seed, generation: 0 };
        // What a crash has left there goes; both slots have their room from now on.
        made.file.set_length(0)?;
        made.write(roll)?;
        made.write(roll)?;
        made.file.sync_all()?;
        disk.rename(&new, &path)?;
        disk.sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        Ok(made)
    }

    /// Replaces the roll, durably.
    pub(crate) fn write(&mut self, roll: &Roll) -> io::Result<()> {
        let generation = self.generation + 1;
        let mut text = encode(generation, roll, self.seed);
        if text.len() > SLOT {
            return Err(io::Error::other("the journal has too many segments with others missing in between"));
        }
        text.extend(std::iter::repeat_n(' ', SLOT - text.len()));
        self.file.write_all_at(text.as_bytes(), generation % 2 * SLOT as u64)?;
        self.file.sync_data()?;
        self.generation = generation;
        Ok(())
    }
}

fn encode(generation: u64, roll: &Roll, seed: Seed) -> String {
    let mut text = format!("{FIRST_LINE}\ngeneration {generation}\nnext {}\nsegments", roll.next);
    for run in roll.segments.chunk_by(|a, b| a + 1 == *b) {
        let (first, last) = (run.first().unwrap_or(&0), run.last().unwrap_or(&0));
        // Writing to a string can't fail.
        let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
    }
    text.push('\n');
    let checksum = seed.checksum(&[text.as_bytes()]);
    format!("{text}checksum {checksum:08x}\n")
}

fn decode(bytes: &[u8], seed: Seed) -> Option<(u64, Roll)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (covered, checksum) = text.split_at_checked(text.find("checksum ")?)?;
    let (checksum, padding) = checksum.split_once('\n')?;
    let checksum = u32::from_str_radix(checksum.strip_prefix("checksum ")?, 16).ok()?;
    if seed.checksum(&[covered.as_bytes()]) != checksum || !padding.trim().is_empty() {
        return None;
    }
    let mut lines = covered.lines();
    let first = lines.next()? == FIRST_LINE;
    let generation = lines.next()?.strip_prefix("generation ")?.parse().ok()?;
    let next = lines.next()?.strip_prefix("next ")?.parse().ok()?;
    let mut segments = Vec::new();
    for run in lines.next()?.strip_prefix("segments")?.split_ascii_whitespace() {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        segments.extend(first.parse::<u64>().ok()?..=last.parse().ok()?);
    }
    first.then_some((generation, Roll { segments, next }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::SystemDisk;

    fn read(journal: &Path) -> Option<Roll> {
        RollFile::open(&SystemDisk, journal, Seed::of(&[7; 16])).unwrap().map(|(_, roll)| roll)
    }

    fn roll(segments: &[u64], next: u64) -> Roll {
        Roll { segments: segments.to_vec(), next }
    }

    #[test]
    fn a_roll_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, seed) = (dir.path().join("journal"), Seed::of(&[7; 16]));
        assert!(RollFile::open(&SystemDisk, &journal, seed).is_err(), "there is none");
        let mut file = RollFile::create(&SystemDisk, &journal, seed, &roll(&[], 1)).unwrap();
        assert_eq!(read(&journal), Some(roll(&[], 1)));
        for segments in [&[12][..], &[12, 13, 14, 17], &[1, 3, 5, 6]] {
            file.write(&roll(segments, 18)).unwrap();
            assert_eq!(read(&journal), Some(roll(segments, 18)));
        }
        let length = std::fs::metadata(path(&journal)).unwrap().len();
        assert_eq!(length, 2 * SLOT as u64, "no change needs room");
        assert!(RollFile::open(&SystemDisk, &journal, Seed::of(&[8; 16])).unwrap().is_none());
    }

    #[test]
    fn a_change_that_a_crash_tore_leaves_the_roll_before() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, seed) = (dir.path().join("journal"), Seed::of(&[7; 16]));
        let mut file = RollFile::create(&SystemDisk, &journal, seed, &roll(&[], 1)).unwrap();
        file.write(&roll(&[4, 5], 6)).unwrap();
        let before = std::fs::read(path(&journal)).unwrap();
        file.write(&roll(&[5], 6)).unwrap();
        let after = std::fs::read(path(&journal)).unwrap();
        let changed = before.iter().zip(&after).rposition(|(a, b)| a != b).unwrap();
        for at in 0..=changed {
            let mut torn = after[..at].to_vec();
            torn.extend_from_slice(&before[at..]);
            std::fs::write(path(&journal), &torn).unwrap();
            let found = read(&journal);
            assert!(found == Some(roll(&[4, 5], 6)) || (torn == after), "torn at {at}: {found:?}");
        }
        // Both slots damaged.
        let mut damaged = after.clone();
        damaged[3] ^= 1;
        damaged[SLOT + 3] ^= 1;
        std::fs::write(path(&journal), &damaged).unwrap();
        assert_eq!(read(&journal), None);
    }
}
