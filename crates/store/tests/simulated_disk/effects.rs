//! Changes of records, phone books and the index of media between the journal, where they are durable, and SQLite, which is behind.

use crate::hand::{Hand, data, options, romeo};
use chaski_store::books::{Answer, Edit, Match, Query};
use chaski_store::embedded::simulation::{Cut, SimulatedDisk, Who};
use chaski_store::embedded::{Disk, Options};
use chaski_store::media::{self, Content, Name, ObjectId, Purpose, Reference};
use chaski_store::records::Put;
use chaski_store::{AccountId, Completion, Revision, StoreError, Table, Ticket};

const JOURNAL: &[Who] = &[Who::Journal];
const SQLITE: &[Who] = &[Who::Sqlite];
const READ: &[Who] = &[Who::Reader, Who::Reader];

/// Nothing waits for company.
fn at_once(disk: &SimulatedDisk) -> Options {
    Options { apply_linger_ms: 0, delete_linger_ms: 0, ..options(disk) }
}

fn juliet() -> AccountId {
    AccountId::phone(15_550_002).unwrap()
}

fn put(account: AccountId, table: Table, value: Option<&str>) -> Put {
    Put { table, key: account.record_key(), value: value.map(|value| value.as_bytes().to_vec()) }
}

impl Hand {
    /// Writes a roster; durable in the journal, and nothing more.
    fn write(&mut self, value: &str, ticket: u128) -> Result<Revision, StoreError> {
        self.front.put(romeo(), vec![put(romeo(), Table::new("rosters"), Some(value))], Ticket(ticket));
        self.turns(JOURNAL);
        self.saved(ticket).expect("it is durable, or not kept")
    }

    fn saved(&mut self, ticket: u128) -> Option<Result<Revision, StoreError>> {
        let at = self.completions.iter().position(
            |completion| matches!(completion, Completion::Saved { ticket: of, .. } if of.0 == ticket),
        )?;
        let Completion::Saved { result, .. } = self.completions.remove(at) else { unreachable!() };
        Some(result)
    }

    /// A roster as a login finds it.
    fn roster(&mut self) -> Option<String> {
        self.front.load(romeo(), const { &[Table::new("settings"), Table::new("rosters")] }, Ticket(999));
        self.turns(READ);
        let Some(Completion::Loaded { result, .. }) = self.completions.pop() else { panic!("no answer") };
        let found = result.unwrap().pop().unwrap()?;
        Some(String::from_utf8(found.value).unwrap())
    }

    fn book(&mut self) -> Option<Answer> {
        let at = self.completions.iter().position(|one| matches!(one, Completion::Book { .. }))?;
        let Completion::Book { result, .. } = self.completions.remove(at) else { unreachable!() };
        Some(result.unwrap())
    }

    fn ask_matches(&mut self) {
        let query = Query::Matches { owner: romeo(), after: 0, limit: 9 };
        self.front.ask_book(query, Ticket(500));
    }
}

#[test]
fn what_is_durable_is_read_before_sqlite_has_it_and_after() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    assert_eq!(hand.roster(), None);
    hand.write("1", 1).unwrap();
    assert_eq!(hand.roster().as_deref(), Some("1"));
    hand.turns(SQLITE);
    assert_eq!(hand.roster().as_deref(), Some("1"));
    hand.write("2", 2).unwrap();
    hand.write("3", 3).unwrap();
    assert_eq!(hand.roster().as_deref(), Some("3"));
    hand.front.put(romeo(), vec![put(romeo(), Table::new("rosters"), None)], Ticket(4));
    hand.turns(JOURNAL);
    assert_eq!(hand.roster(), None, "it is gone, although SQLite has one");
    hand.turns(SQLITE);
    assert_eq!(hand.roster(), None);
}

#[test]
fn what_was_durable_in_the_journal_alone_is_there_after_a_power_cut() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    hand.write("1", 1).unwrap();
    hand.turns(SQLITE);
    hand.write("2", 2).unwrap();
    let edit = Edit::Change {
        owner: romeo(),
        add: vec![15_550_002],
        remove: vec![],
        puts: vec![put(romeo(), Table::new("settings"), Some("s"))],
    };
    hand.front.edit_book(edit, Ticket(3));
    hand.front.save(juliet(), Table::ACCOUNTS, Some(b"{}".to_vec()), None, Ticket(4));
    hand.turns(JOURNAL);
    for _ in 0..2 {
        let left = disk.after_cut(&mut Cut::losing_all());
        let mut hand = Hand::open(&left, at_once(&left));
        assert_eq!(hand.roster().as_deref(), Some("2"));
        hand.ask_matches();
        hand.turns(READ);
        let matches = vec![Match { number: 15_550_002, mutual: false }];
        assert_eq!(hand.book(), Some(Answer::Matches { matches, next: None }));
    }
}

#[test]
fn a_segment_stays_until_sqlite_has_done_what_it_says() {
    let disk = SimulatedDisk::default();
    let segments = |disk: &SimulatedDisk| disk.list(&data(disk).join("journal")).unwrap().len();
    let at_once = Options { segment_age_ms: 0, spill_after_ms: 0, tick_ms: 0, ..at_once(&disk) };
    let mut hand = Hand::open(&disk, at_once);
    hand.write("1", 1).unwrap();
    hand.turns(&[Who::Journal, Who::Journal, Who::Caretaker, Who::Caretaker]);
    assert_eq!(segments(&disk), 1, "it is nowhere else");
    hand.turns(&[Who::Sqlite, Who::Journal, Who::Journal]);
    (0..9).for_each(|_| hand.turns(&[Who::Caretaker, Who::Journal]));
    assert_eq!(segments(&disk), 0);
    let left = disk.after_cut(&mut Cut::losing_all());
    assert_eq!(Hand::open(&left, options(&left)).roster().as_deref(), Some("1"));
}

#[test]
fn a_question_about_phone_books_waits_for_what_was_durable_before_it() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    let add = vec![15_550_002];
    let edit = Edit::Change { owner: romeo(), add, remove: vec![], puts: vec![] };
    hand.front.edit_book(edit, Ticket(1));
    hand.turns(&[Who::Journal, Who::Sqlite]);
    assert_eq!(hand.book(), Some(Answer::Changed { accounts: vec![] }), "she is no account yet");
    hand.front.save(juliet(), Table::ACCOUNTS, Some(b"{}".to_vec()), None, Ticket(2));
    hand.turns(JOURNAL);
    hand.ask_matches();
    hand.turns(READ);
    assert_eq!(hand.book(), None, "SQLite does not know her yet");
    hand.turns(SQLITE);
    hand.saved(2).unwrap().unwrap();
    hand.turns(READ);
    let matches = vec![Match { number: 15_550_002, mutual: false }];
    assert_eq!(hand.book(), Some(Answer::Matches { matches, next: None }));
    // A change of her record by itself holds no question up.
    hand.front.put(juliet(), vec![put(juliet(), Table::ACCOUNTS, Some("{\"a\":1}"))], Ticket(3));
    hand.turns(JOURNAL);
    hand.ask_matches();
    hand.turns(READ);
    assert!(hand.book().is_some());
}

#[test]
fn a_condition_is_decided_once_and_in_order() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    // Of two that want to make her, one does.
    hand.front.save(juliet(), Table::ACCOUNTS, Some(b"first".to_vec()), None, Ticket(1));
    hand.front.save(juliet(), Table::ACCOUNTS, Some(b"second".to_vec()), None, Ticket(2));
    hand.turns(JOURNAL);
    assert!(hand.saved(1).is_none(), "nobody knows yet");
    let cut = disk.after_cut(&mut Cut::losing_all());
    hand.turns(SQLITE);
    let first = hand.saved(1).unwrap().unwrap();
    assert!(matches!(hand.saved(2), Some(Err(StoreError::Conflict))));
    // Whoever deletes what stands there leaves nothing, although the frames may be carried out again.
    hand.front.save(juliet(), Table::ACCOUNTS, None, Some(first), Ticket(3));
    hand.turns(&[Who::Journal, Who::Sqlite]);
    hand.saved(3).unwrap().unwrap();
    for (left, there) in [(cut, Some("first")), (disk.after_cut(&mut Cut::losing_all()), None)] {
        let mut hand = Hand::open(&left, options(&left));
        hand.front.load(juliet(), &[Table::ACCOUNTS], Ticket(9));
        hand.turns(READ);
        let Some(Completion::Loaded { result, .. }) = hand.completions.pop() else { panic!("no answer") };
        let found = result.unwrap().pop().unwrap().map(|found| String::from_utf8(found.value).unwrap());
        assert_eq!(found.as_deref(), there);
    }
}

#[test]
fn what_is_done_is_not_done_again() {
    let disk = SimulatedDisk::default();
    let at_once = Options { segment_age_ms: 0, spill_after_ms: 0, tick_ms: 0, ..at_once(&disk) };
    let mut hand = Hand::open(&disk, at_once);
    let value = |text: &str| Some(text.as_bytes().to_vec());
    hand.front.save(juliet(), Table::ACCOUNTS, value("first"), None, Ticket(1));
    hand.turns(&[Who::Journal, Who::Sqlite]);
    let first = hand.saved(1).unwrap().unwrap();
    // The frame that has made her is forgotten; one that found her there, and one that has deleted her, are not.
    (0..9).for_each(|_| hand.turns(&[Who::Journal, Who::Caretaker]));
    hand.front.save(juliet(), Table::ACCOUNTS, value("second"), None, Ticket(2));
    hand.front.save(juliet(), Table::ACCOUNTS, None, Some(first), Ticket(3));
    hand.turns(&[Who::Journal, Who::Sqlite]);
    assert!(matches!(hand.saved(2), Some(Err(StoreError::Conflict))));
    hand.saved(3).unwrap().unwrap();
    let left = disk.after_cut(&mut Cut::losing_all());
    let mut hand = Hand::open(&left, options(&left));
    hand.front.load(juliet(), &[Table::ACCOUNTS], Ticket(9));
    hand.turns(READ);
    let Some(Completion::Loaded { result, .. }) = hand.completions.pop() else { panic!("no answer") };
    assert_eq!(result.unwrap(), [None], "carried out again, the second would have made her");
}

#[test]
fn what_sqlite_has_not_done_is_bounded() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, Options { overlay_bytes: 1_000, ..at_once(&disk) });
    let large = "x".repeat(600);
    hand.write(&large, 1).unwrap();
    hand.front.put(romeo(), vec![put(romeo(), Table::new("rosters"), Some(&large))], Ticket(2));
    hand.turns(&[]);
    assert!(matches!(hand.saved(2), Some(Err(StoreError::Overloaded))), "it would be too much");
    hand.turns(SQLITE);
    hand.write(&large, 3).unwrap();
}

#[test]
fn a_purge_and_what_comes_after_it_keep_their_order() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    hand.write("old", 1).unwrap();
    hand.front.purge(romeo(), Ticket(2));
    hand.turns(JOURNAL);
    assert!(hand.completions.is_empty(), "SQLite has not begun");
    hand.front.put(romeo(), vec![put(romeo(), Table::new("rosters"), Some("new"))], Ticket(3));
    hand.turns(JOURNAL);
    hand.saved(3).unwrap().unwrap();
    let left = disk.after_cut(&mut Cut::losing_all());
    assert_eq!(Hand::open(&left, options(&left)).roster().as_deref(), Some("new"));
    hand.turns(SQLITE);
    assert!(matches!(hand.completions.pop(), Some(Completion::Purged { result: Ok(()), .. })));
    assert_eq!(hand.roster().as_deref(), Some("new"));
}

#[test]
fn an_upload_that_is_durable_in_the_journal_alone_is_there_after_a_power_cut() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    let record = put(romeo(), Table::ACCOUNTS, Some("{\"registered_unix_ms\":7}"));
    hand.front.put(romeo(), vec![record], Ticket(1));
    let reference = Reference {
        name: Name(5),
        owner: romeo(),
        content: Content { sha256: [3; 32], size: 10 },
        object: ObjectId(6),
        place: "".into(),
        media_type: "image/png".into(),
        file_name: "rose.png".into(),
        purpose: Purpose::Message,
        created_unix_ms: 1,
        expires_unix_ms: Some(u64::MAX / 4),
    };
    let store =
        media::Edit::Store { reference: reference.clone(), registered_unix_ms: 7, quota_bytes: 1 << 30 };
    hand.front.edit_media(store, Ticket(2));
    hand.turns(JOURNAL);
    for left in [disk.after_cut(&mut Cut::losing_all()), {
        hand.turns(SQLITE);
        disk.after_cut(&mut Cut::losing_all())
    }] {
        let mut hand = Hand::open(&left, options(&left));
        let query = media::Query::Reference { name: Name(5), now_unix_ms: 2 };
        hand.front.ask_media(query, Ticket(3));
        hand.turns(READ);
        let Some(Completion::Media { result, .. }) = hand.completions.pop() else { panic!("no answer") };
        assert_eq!(result.unwrap(), media::Answer::Reference(Some(Box::new(reference.clone()))));
    }
    let answered = hand
        .completions
        .iter()
        .any(|completion| matches!(completion, Completion::Media { result: Ok(media::Answer::Done(1)), .. }));
    assert!(answered, "when SQLite has it, and not before");
}

#[test]
fn a_long_purge_is_over_before_what_comes_behind_it_begins() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, Options { mailbox_cache_bytes: 1, ..at_once(&disk) });
    (1..=2_500).for_each(|id| hand.append(id));
    hand.turns(JOURNAL);
    (0..9).for_each(|_| hand.turns(SQLITE));
    hand.completions.clear();
    hand.front.purge(romeo(), Ticket(2));
    hand.turns(JOURNAL);
    hand.front.put(romeo(), vec![put(romeo(), Table::new("rosters"), Some("new"))], Ticket(3));
    hand.turns(JOURNAL);
    hand.saved(3).unwrap().unwrap();
    hand.turns(SQLITE);
    assert!(hand.completions.is_empty(), "a thousand messages are gone, and there are more");
    // Cut off in the middle it goes on.
    let left = disk.after_cut(&mut Cut::losing_all());
    let mut again = Hand::open(&left, options(&left));
    assert_eq!(again.front.usage(romeo()).messages, 0);
    assert_eq!(again.roster().as_deref(), Some("new"));
    (0..3).for_each(|_| hand.turns(SQLITE));
    assert!(matches!(hand.completions.pop(), Some(Completion::Purged { result: Ok(()), .. })));
    assert_eq!(hand.roster().as_deref(), Some("new"));
}

#[test]
fn a_frame_that_the_disk_has_no_room_for_changes_nothing() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    hand.write("1", 1).unwrap();
    hand.turns(SQLITE);
    disk.set_size(Some(disk.used()), false);
    let large = "x".repeat(100_000);
    assert!(matches!(hand.write(&large, 2), Err(StoreError::Full)));
    hand.front.purge(romeo(), Ticket(3));
    hand.front.edit_book(
        Edit::Change { owner: romeo(), add: vec![15_550_002], remove: vec![], puts: vec![] },
        Ticket(4),
    );
    hand.front.put(romeo(), vec![put(romeo(), Table::new("rosters"), Some(&large))], Ticket(5));
    hand.turns(JOURNAL);
    let refused = hand.completions.drain(..).filter(|completion| match completion {
        Completion::Purged { result, .. } => matches!(result, Err(StoreError::Full)),
        Completion::Book { result, .. } => matches!(result, Err(StoreError::Full)),
        Completion::Saved { result, .. } => matches!(result, Err(StoreError::Full)),
        _ => false,
    });
    assert_eq!(refused.count(), 3, "each hears so");
    assert_eq!(hand.roster().as_deref(), Some("1"));
    disk.set_size(None, false);
    hand.write("2", 6).unwrap();
    assert_eq!(hand.roster().as_deref(), Some("2"));
}

#[test]
fn a_start_on_a_full_disk_shows_what_is_in_the_journal_alone() {
    let disk = SimulatedDisk::default();
    let mut hand = Hand::open(&disk, at_once(&disk));
    hand.write("1", 1).unwrap();
    hand.turns(SQLITE);
    let large = "x".repeat(50_000);
    hand.write(&large, 2).unwrap();
    let left = disk.after_cut(&mut Cut::losing_all());
    left.set_size(Some(left.used()), false);
    let mut hand = Hand::open(&left, at_once(&left));
    assert_eq!(hand.roster().as_deref(), Some(large.as_str()));
    // As long as it is full nothing is lost by another start.
    let again = left.after_cut(&mut Cut::losing_all());
    assert_eq!(Hand::open(&again, at_once(&again)).roster().as_deref(), Some(large.as_str()));
    left.set_size(None, false);
    hand.turns(SQLITE);
    hand.turns(SQLITE);
    assert_eq!(hand.roster().as_deref(), Some(large.as_str()));
    hand.write("3", 3).unwrap();
    assert_eq!(hand.roster().as_deref(), Some("3"));
}
