//! The caretaker's turns, one by one. Against power cuts: `tests/simulated_disk.rs` and the campaign.

use super::*;
use crate::embedded::simulation::{Cut, SimulatedDisk};

const STEP: u64 = 1000;

struct Yard {
    disk: SimulatedDisk,
    journal: PathBuf,
    metrics: Arc<JournalMetrics>,
    caretaker: Caretaker,
}

impl Yard {
    fn new() -> Self {
        let disk = SimulatedDisk::default();
        let (journal, metrics) = (disk.root().join("journal"), Arc::<JournalMetrics>::default());
        disk.make_directory(&journal).unwrap();
        disk.sync_directory(&disk.root()).unwrap();
        let pace = (STEP, Duration::from_millis(1));
        let caretaker = Caretaker::new(Arc::new(disk.clone()), journal.clone(), pace, metrics.clone());
        caretaker.drive_by_hand();
        Self { disk, journal, metrics, caretaker }
    }

    fn file(&self, name: &str, bytes: usize) -> (PathBuf, Arc<dyn DiskFile>) {
        let path = self.journal.join(name);
        let file = self.disk.open(&path, Open::New).unwrap();
        file.write_all_at(&vec![7; bytes], 0).unwrap();
        file.sync_all().unwrap();
        self.disk.sync_directory(&self.journal).unwrap();
        (path, file.into())
    }

    fn extension(&self, file: Arc<dyn DiskFile>) -> bool {
        self.caretaker.extend(Extension { number: 4, file, from: 500, end: 1500 })
    }

    fn waiting(&self) -> (i64, i64) {
        (self.metrics.removing_segments.get(), self.metrics.removing_bytes.get())
    }
}

#[test]
fn a_segment_goes_step_by_step_and_then_its_name() {
    let yard = Yard::new();
    let (path, _) = yard.file("a", 3500);
    yard.caretaker.remove(path.clone(), 3500).unwrap();
    assert_eq!(yard.waiting(), (1, 3500));
    for left in [2500, 1500, 500] {
        yard.caretaker.turn();
        assert_eq!(yard.disk.length(&path).unwrap(), left);
        assert_eq!(yard.waiting(), (1, left as i64));
        assert_eq!(yard.caretaker.is_shrinking(), left > 0);
    }
    yard.caretaker.turn();
    assert!(yard.disk.length(&path).is_err());
    assert!(yard.caretaker.is_removing(), "its name could come back");
    yard.caretaker.turn();
    assert!(!yard.caretaker.is_removing());
    assert_eq!((yard.waiting(), yard.metrics.unlinked_total.get()), ((0, 0), 1));
    let left = yard.disk.after_cut(&mut Cut::losing_all());
    assert!(left.list(&left.root().join("journal")).unwrap().is_empty());
}

#[test]
fn room_comes_before_what_is_left_of_a_removal() {
    let yard = Yard::new();
    let (gone, _) = yard.file("a", 3500);
    let (path, file) = yard.file("b", 500);
    yard.caretaker.remove(gone.clone(), 3500).unwrap();
    yard.caretaker.turn();
    assert!(yard.extension(file.clone()));
    assert!(!yard.extension(file), "one at a time");
    yard.caretaker.turn();
    assert_eq!((yard.disk.length(&path).unwrap(), yard.disk.durable_length(&path)), (1500, 500));
    assert!(yard.caretaker.outcome().is_none(), "it is not durable yet");
    yard.caretaker.turn();
    assert_eq!(yard.disk.durable_length(&path), 1500);
    assert!(matches!(yard.caretaker.outcome(), Some((4, Ok(1500)))));
    assert!(yard.caretaker.outcome().is_none(), "it is told once");
    assert_eq!(yard.disk.length(&gone).unwrap(), 2500);
}

#[test]
fn what_he_does_not_take_is_given_back() {
    let yard = Yard::new();
    for number in 0..REMOVALS_MAX {
        yard.caretaker.remove(yard.journal.join(number.to_string()), 1).unwrap();
    }
    assert!(yard.caretaker.remove(yard.journal.join("x"), 1).is_err());
    // Files that are not there are removed.
    (0..2 * REMOVALS_MAX).for_each(|_| yard.caretaker.turn());
    assert_eq!((yard.caretaker.is_removing(), yard.waiting()), (false, (0, 0)));
    yard.caretaker.stop();
    assert!(yard.caretaker.remove(yard.journal.join("x"), 1).is_err() && !yard.caretaker.is_free());
}

#[test]
fn whoever_waits_for_room_is_told_when_he_ends() {
    let yard = Yard::new();
    let (_, file) = yard.file("b", 500);
    assert!(yard.extension(file.clone()));
    drop(Leaving(&yard.caretaker));
    assert!(yard.caretaker.wait_for_outcome(3).is_none(), "another's");
    assert!(matches!(yard.caretaker.wait_for_outcome(4), Some(Err(SegmentError::Failed { .. }))));
    assert!(!yard.extension(file) && yard.caretaker.remove(yard.journal.join("x"), 1).is_err());
}

#[test]
fn a_full_disk_is_no_failure_and_a_failed_sync_is_one_whatever_its_reason() {
    let yard = Yard::new();
    let (path, file) = yard.file("b", 500);
    yard.disk.set_size(Some(900), false);
    assert!(yard.extension(file.clone()));
    assert!(matches!(yard.caretaker.wait_for_outcome(4), Some(Err(SegmentError::Full))));
    assert_eq!(yard.disk.length(&path).unwrap(), 500, "what was taken is given back");
    yard.disk.set_size(None, false);
    yard.disk.fail_sync_in(0, libc::ENOSPC);
    assert!(yard.extension(file));
    assert!(yard.caretaker.failure(4).is_none());
    (0..2).for_each(|_| yard.caretaker.turn());
    assert!(yard.caretaker.failure(5).is_none());
    assert!(matches!(yard.caretaker.failure(4), Some(SegmentError::Failed { .. })));
}
