//! Torn last writes are cut, damage in the middle is refused, salvage recovers the rest.

use crate::support::{copy_as_crashed, lazy, segments, used};
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, OpenError, Options};
use chaski_store::{AccountId, Appended, Seq};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

/// A crashed directory with messages `1..=count`, one frame each, and where each frame ends.
fn crashed(count: u128, options: Options) -> (tempfile::TempDir, Vec<(PathBuf, usize)>) {
    let (live, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = embedded::open(live.path(), options).unwrap();
    let mut rig = Rig::new(&engine);
    let mut ends = Vec::new();
    for id in 1..=count {
        rig.append_durably(romeo(), id);
        let segment = segments(live.path()).pop().unwrap();
        let end = used(&segment);
        ends.push((dead.path().join("journal").join(segment.file_name().unwrap()), end));
    }
    copy_as_crashed(live.path(), dead.path());
    (dead, ends)
}

fn ids(dir: &Path) -> Result<Vec<u128>, OpenError> {
    let engine = embedded::open(dir, lazy())?;
    let mut rig = Rig::new(&engine);
    Ok(rig.ids(romeo()))
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_as_crashed(from, to.path());
    to
}

fn flip(path: &Path, offset: usize) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x55], offset as u64).unwrap();
}

#[test]
fn a_crash_without_damage_loses_nothing() {
    let (dir, _) = crashed(5, lazy());
    assert_eq!(ids(dir.path()).unwrap(), [1, 2, 3, 4, 5]);
    assert!(segments(dir.path()).is_empty(), "absorbed and gone");
    assert_eq!(ids(dir.path()).unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_write_torn_at_any_byte_is_cut_and_the_rest_kept() {
    let (dir, ends) = crashed(3, lazy());
    let (segment, end) = ends[2].clone();
    let start = ends[1].1;
    assert!(end - start > 60);
    for at in start..end {
        let torn = copy(dir.path());
        let path = torn.path().join("journal").join(segment.file_name().unwrap());
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        match at % 2 {
            // The rest of the frame was not written over the zeros.
            0 => file.write_all_at(&vec![0; end - at], at as u64).unwrap(),
            // The file ends there.
            _ => file.set_len(at as u64).unwrap(),
        }
        assert_eq!(ids(torn.path()).unwrap(), [1, 2], "torn at {at} of {start}..{end}");
    }
}

#[test]
fn a_last_write_with_a_hole_is_cut() {
    let (dir, ends) = crashed(3, lazy());
    let (segment, end) = &ends[2];
    for at in [ends[1].1, ends[1].1 + 5, ends[1].1 + 17, end - 20, end - 1] {
        let torn = copy(dir.path());
        flip(&torn.path().join("journal").join(segment.file_name().unwrap()), at);
        assert_eq!(ids(torn.path()).unwrap(), [1, 2], "changed at {at}");
    }
}

fn refused(dir: &Path, file: &Path, offset: usize) {
    let before: Vec<Vec<u8>> = segments(dir).iter().map(|path| fs::read(path).unwrap()).collect();
    match ids(dir) {
        Err(error @ OpenError::CorruptJournal { .. }) => {
            let text = error.to_string();
            assert!(text.contains(file.file_name().unwrap().to_str().unwrap()), "{text}");
            assert!(text.contains(&format!("byte {offset}:")), "{text}, expected {offset}");
            assert!(text.contains("salvage"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let after: Vec<Vec<u8>> = segments(dir).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "a refused journal is left as it was");
}

#[test]
fn damage_in_the_middle_is_refused_and_salvage_recovers_what_is_intact() {
    let (dir, ends) = crashed(5, lazy());
    let (segment, first_end) = &ends[0];
    for at in [*first_end, first_end + 4, first_end + 10, first_end + 30, ends[1].1 - 1] {
        let damaged = copy(dir.path());
        let segment = damaged.path().join("journal").join(segment.file_name().unwrap());
        flip(&segment, at);
        refused(damaged.path(), &segment, *first_end);
        let report = embedded::salvage(damaged.path()).unwrap();
        assert_eq!((report.segments, report.damaged_segments, report.frames, report.messages), (1, 1, 4, 4));
        assert_eq!(report.damaged_bytes as usize, ends[1].1 - first_end);
        assert_eq!(ids(damaged.path()).unwrap(), [1, 3, 4, 5]);
        let aside: Vec<_> = fs::read_dir(damaged.path().join("journal-damaged")).unwrap().collect();
        assert_eq!(aside.len(), 1);
    }
}

/// A frame each, and a segment for every two.
fn tiny_segments() -> Options {
    Options { segment_bytes: 330, preallocate_bytes: 400, ..lazy() }
}

#[test]
fn damage_at_the_end_of_a_segment_with_another_behind_it_is_refused() {
    let (dir, ends) = crashed(6, tiny_segments());
    let paths = segments(dir.path());
    assert!(paths.len() >= 3, "{paths:?}");
    assert_eq!(ids(copy(dir.path()).path()).unwrap(), [1, 2, 3, 4, 5, 6]);
    let in_second: Vec<_> = ends.iter().filter(|(path, _)| *path == paths[1]).collect();
    let (_, last_end) = in_second[in_second.len() - 1];

    // Its last frame is damaged.
    let damaged = copy(dir.path());
    let second = damaged.path().join("journal").join(paths[1].file_name().unwrap());
    flip(&second, last_end - 1);
    let start = in_second.len().checked_sub(2).map_or(64, |before| in_second[before].1);
    refused(damaged.path(), &second, start);

    // Its last frame is gone without a trace.
    let cut = copy(dir.path());
    let second = cut.path().join("journal").join(paths[1].file_name().unwrap());
    fs::OpenOptions::new().write(true).open(&second).unwrap().set_len(start as u64).unwrap();
    refused(cut.path(), &second, start);

    // The whole segment is gone.
    let missing = copy(dir.path());
    fs::remove_file(missing.path().join("journal").join(paths[1].file_name().unwrap())).unwrap();
    assert!(matches!(ids(missing.path()), Err(OpenError::MissingSegments { .. })));
    let report = embedded::salvage(missing.path()).unwrap();
    assert_eq!(report.damaged_segments, 0);
    let left = ids(missing.path()).unwrap();
    assert!(left.contains(&1) && left.contains(&6) && left.len() < 6, "{left:?}");
}

/// As [`refused`], for what is wrong with files and not in them.
fn refused_for(dir: &Path, what: &str) {
    let files = || {
        let all = fs::read_dir(dir).unwrap().chain(fs::read_dir(dir.join("journal")).unwrap());
        let mut names: Vec<_> = all.map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| !path.to_str().unwrap().contains("sqlite3") && !path.ends_with("lock"));
        names.sort();
        names
    };
    let before = files();
    let text = ids(dir).expect_err("refused").to_string();
    assert!(text.contains(what) && text.contains("salvage") && !text.contains('\n'), "{text}");
    assert_eq!(files(), before, "a refused journal is left as it was");
}

#[test]
fn a_missing_segment_is_missed_wherever_it_was() {
    let (dir, ends) = crashed(6, tiny_segments());
    let names: Vec<_> =
        segments(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for (place, name) in names.iter().enumerate() {
        let missing = copy(dir.path());
        fs::remove_file(missing.path().join("journal").join(name)).unwrap();
        refused_for(missing.path(), name.to_str().unwrap());
        let report = embedded::salvage(missing.path()).unwrap();
        assert_eq!((report.missing_segments, report.damaged_segments), (1, 0), "{place}");
        let held = ends.iter().filter(|(path, _)| path.file_name().unwrap() != name).count();
        assert_eq!(ids(missing.path()).unwrap().len(), held, "{place}");
    }
    // All of them, with their directory.
    let missing = copy(dir.path());
    fs::remove_dir_all(missing.path().join("journal")).unwrap();
    fs::create_dir(missing.path().join("journal")).unwrap();
    refused_for(missing.path(), names[0].to_str().unwrap());
    embedded::salvage(missing.path()).unwrap();
    assert!(ids(missing.path()).unwrap().is_empty());
}

#[test]
fn a_roll_that_is_missing_or_damaged_is_refused_and_salvage_goes_on_without() {
    let (dir, _) = crashed(3, lazy());
    let roll = |dir: &Path| dir.join("journal.roll");
    let missing = copy(dir.path());
    fs::remove_file(roll(missing.path())).unwrap();
    refused_for(missing.path(), "journal.roll is missing");
    let damaged = copy(dir.path());
    for slot in [0, 4096] {
        flip(&roll(damaged.path()), slot + 3);
    }
    refused_for(damaged.path(), "journal.roll is damaged");
    for dir in [missing, damaged] {
        assert_eq!(embedded::salvage(dir.path()).unwrap().messages, 3);
        assert_eq!(ids(dir.path()).unwrap(), [1, 2, 3]);
    }
    // Also when there is nothing in the journal.
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    drop(engine);
    fs::remove_file(roll(dir.path())).unwrap();
    refused_for(dir.path(), "journal.roll is missing");
}

#[test]
fn files_that_are_not_on_the_roll_are_not_missed_and_go() {
    let (dir, _) = crashed(6, tiny_segments());
    let left = copy(dir.path());
    assert_eq!(ids(left.path()).unwrap(), [1, 2, 3, 4, 5, 6]);
    // A segment that was unlinked, which a power cut has undone; damaged for good measure.
    let old = segments(dir.path())[1].clone();
    let back = left.path().join("journal").join(old.file_name().unwrap());
    fs::copy(&old, &back).unwrap();
    flip(&back, 100);
    assert_eq!(ids(left.path()).unwrap(), [1, 2, 3, 4, 5, 6]);
    assert!(segments(left.path()).is_empty());
}

#[test]
fn a_frame_that_was_confirmed_is_never_taken_for_torn() {
    // A mark at once behind each frame that nothing follows.
    let options = Options { mark_after_ms: 0, tick_ms: 1, ..lazy() };
    let (live, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = embedded::open(live.path(), options).unwrap();
    let mut rig = Rig::new(&engine);
    for id in 1..=3 {
        rig.append_durably(romeo(), id);
    }
    // A frame of no length: the last one, since nothing else ends with so many zeros behind its beginning.
    let is_marked = |bytes: &[u8]| {
        let last = bytes.windows(4).rposition(|window| window == b"CFRM").unwrap();
        bytes[last + 4..last + 8] == [0; 4]
    };
    rig.until("a mark", |_| is_marked(&fs::read(&segments(live.path())[0]).unwrap()));
    copy_as_crashed(live.path(), dead.path());
    assert_eq!(ids(copy(dead.path()).path()).unwrap(), [1, 2, 3]);
    let segment = segments(dead.path())[0].clone();
    let stanza = fs::read(&segment).unwrap();
    let at = stanza.windows(16).rposition(|window| window == b"message number 3").unwrap();
    flip(&segment, at);
    match ids(dead.path()) {
        Err(OpenError::CorruptJournal { .. }) => {}
        other => panic!("a confirmed message is cut: {other:?}"),
    }
    assert_eq!(embedded::salvage(dead.path()).unwrap().messages, 2);
}

/// Makes a data directory look like one of the version before the roll.
fn make_old(dir: &Path) {
    let database = rusqlite::Connection::open(dir.join("chaski.sqlite3")).unwrap();
    let secret: [u8; 16] =
        database.query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| row.get(0)).unwrap();
    database.execute("DELETE FROM meta WHERE name = 'journal_roll'", []).unwrap();
    fs::remove_file(dir.join("journal.roll")).unwrap();
    for path in segments(dir) {
        let mut bytes = fs::read(&path).unwrap();
        bytes[8] = 1;
        let mut checksum = crc32fast::Hasher::new_with_initial(crc32fast::hash(&secret));
        checksum.update(&bytes[..40]);
        bytes[40..44].copy_from_slice(&checksum.finalize().to_le_bytes());
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_data_directory_of_the_version_before_opens() {
    let (dir, ends) = crashed(6, tiny_segments());
    make_old(dir.path());
    // Nobody knew of a missing newest segment then.
    let torn = copy(dir.path());
    fs::OpenOptions::new()
        .write(true)
        .open(torn.path().join("journal").join(ends[5].0.file_name().unwrap()))
        .unwrap()
        .set_len(ends[5].1 as u64 - 3)
        .unwrap();
    assert_eq!(ids(torn.path()).unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(ids(dir.path()).unwrap(), [1, 2, 3, 4, 5, 6]);
    // From then on it has a roll.
    assert!(dir.path().join("journal.roll").exists());
    fs::remove_file(dir.path().join("journal.roll")).unwrap();
    assert!(matches!(ids(dir.path()), Err(OpenError::NoRoll { .. })));
}

#[test]
fn a_frame_out_of_sequence_within_a_segment_is_refused() {
    let (dir, ends) = crashed(4, lazy());
    let segment = ends[0].0.clone();
    let bytes = fs::read(&segment).unwrap();
    let frame = |number: usize| bytes[ends[number - 1].1..ends[number].1].to_vec();
    assert_eq!(frame(1).len(), frame(2).len());
    // Each frame is intact; the second and the third have changed places.
    let mut swapped = bytes.clone();
    swapped[ends[0].1..ends[1].1].copy_from_slice(&frame(2));
    swapped[ends[1].1..ends[2].1].copy_from_slice(&frame(1));
    fs::write(&segment, swapped).unwrap();
    refused(dir.path(), &segment, ends[0].1);
    // One is there twice.
    let mut twice = bytes.clone();
    twice[ends[1].1..ends[2].1].copy_from_slice(&frame(1));
    fs::write(&segment, twice).unwrap();
    refused(dir.path(), &segment, ends[1].1);
}

#[test]
fn a_damaged_segment_header_is_refused_and_salvage_reads_behind_it() {
    let (dir, ends) = crashed(3, lazy());
    flip(&ends[0].0, 20);
    refused(dir.path(), &ends[0].0, 0);
    let report = embedded::salvage(dir.path()).unwrap();
    assert_eq!((report.frames, report.messages), (3, 3));
    assert_eq!(ids(dir.path()).unwrap(), [1, 2, 3]);
}

#[test]
fn a_segment_made_just_before_the_crash_is_ignored() {
    let (dir, ends) = crashed(2, lazy());
    for content in [vec![], vec![0; 5000]] {
        let copied = copy(dir.path());
        let name = ends[0].0.file_name().unwrap().to_str().unwrap();
        let number: u64 = name.strip_suffix(".journal").unwrap().parse().unwrap();
        fs::write(copied.path().join("journal").join(format!("{:012}.journal", number + 1)), content)
            .unwrap();
        assert_eq!(ids(copied.path()).unwrap(), [1, 2]);
    }
}

#[test]
fn acknowledgements_are_found_again_after_a_crash() {
    let (live, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = embedded::open(live.path(), lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    let seqs: Vec<Seq> = (1..=4).map(|id| rig.append_durably(romeo(), id)).collect();
    rig.store.ack(romeo(), &[seqs[0], seqs[2]]);
    // The next commit takes the acknowledgements along.
    rig.append_durably(romeo(), 5);
    copy_as_crashed(live.path(), dead.path());
    assert_eq!(ids(dead.path()).unwrap(), [2, 4, 5]);
}

#[test]
fn a_newer_journal_is_refused_and_kept() {
    let (dir, ends) = crashed(1, lazy());
    // A version is only believed under a valid checksum, so that this one is damage.
    flip(&ends[0].0, 8);
    assert!(matches!(ids(dir.path()), Err(OpenError::CorruptJournal { .. })));
    assert_eq!(segments(dir.path()).len(), 1);
}

#[test]
fn salvage_of_nothing_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(embedded::salvage(dir.path()), Err(OpenError::NotReadable { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let (intact, _) = crashed(2, lazy());
    let report = embedded::salvage(intact.path()).unwrap();
    assert_eq!((report.damaged_segments, report.messages), (0, 2));
    assert_eq!(ids(intact.path()).unwrap(), [1, 2]);
}

#[test]
fn what_is_sent_again_after_a_crash_is_known() {
    let (dir, _) = crashed(3, lazy());
    let engine = embedded::open(dir.path(), lazy()).unwrap();
    let mut rig = Rig::new(&engine);
    rig.load(romeo());
    let (again, ticket) = rig.append(romeo(), 2).unwrap();
    assert_eq!(again, Appended::Duplicate);
    rig.committed(ticket);
    assert_eq!(rig.ids(romeo()), [1, 2, 3]);
    let seqs: Vec<Seq> = rig.read_all(romeo(), 9).iter().map(|entry| entry.seq).collect();
    rig.store.ack(romeo(), &seqs[1..2]);
    rig.append_durably(romeo(), 2);
    assert_eq!(rig.ids(romeo()), [1, 3, 2], "acknowledged, it is a new message");
    rig.purge(romeo());
    rig.append_durably(romeo(), 3);
    assert_eq!(rig.ids(romeo()), [3]);
}
