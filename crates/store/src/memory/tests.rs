//! What only this engine has: injected failures and late reads.

use super::*;
use crate::conformance::Rig;
use crate::mailbox::{Appended, MessageId, ReadStart};

fn romeo() -> AccountId {
    AccountId::phone(15_550_001).unwrap()
}

#[test]
fn a_refused_message_is_gone_and_so_is_its_repeat() {
    let engine = MemoryEngine::new();
    let mut rig = Rig::new(&engine);
    engine.fail_next(StoreError::Full);
    let (_, first) = rig.append(romeo(), 1).unwrap();
    let (repeat, second) = rig.append(romeo(), 1).unwrap();
    let (_, other) = rig.append(romeo(), 2).unwrap();
    assert_eq!(repeat, Appended::Duplicate);
    assert!(matches!(rig.outcome(first), Err(StoreError::Full)));
    assert!(matches!(rig.outcome(second), Err(StoreError::Full)));
    rig.committed(other);
    assert_eq!(rig.ids(romeo()), [2]);
}

#[test]
fn a_failed_save_changes_nothing() {
    let engine = MemoryEngine::new();
    let mut rig = Rig::new(&engine);
    engine.fail_next(StoreError::Full);
    let ticket = rig.ticket();
    rig.store.save(romeo(), Table::ACCOUNTS, Some(b"{}".to_vec()), None, ticket);
    let failed = rig.wait("a save", |completion| match completion {
        Completion::Saved { result, .. } => Some(result.is_err()),
        _ => None,
    });
    assert!(failed);
    assert_eq!(engine.records().get(Table::ACCOUNTS, &romeo().record_key()).unwrap(), None);
}

#[test]
fn what_was_not_flushed_does_not_outlive_the_shard() {
    let engine = MemoryEngine::new();
    let mut rig = Rig::new(&engine);
    rig.append_durably(romeo(), 1);
    rig.append(romeo(), 2).unwrap();
    drop(rig);
    assert_eq!(Rig::new(&engine).ids(romeo()), [1]);
}

#[test]
fn a_late_read_answers_after_the_flush() {
    let engine = MemoryEngine::new();
    engine.delay_reads(true);
    let mut rig = Rig::new(&engine);
    rig.append_durably(romeo(), 1);
    let limit = ReadLimit { messages: 9, bytes: 9 };
    assert!(matches!(rig.store.read(romeo(), Seq(0), limit, Ticket(7)), ReadStart::Pending));
    let mut completions = Vec::new();
    rig.store.poll(&mut completions);
    assert!(completions.is_empty());
    rig.store.flush();
    rig.store.poll(&mut completions);
    assert!(
        matches!(&completions[..], [Completion::Read { ticket: Ticket(7), result: Ok((entries, false)) }]
            if entries[0].id == MessageId(1))
    );
}
