//! Cases on mailboxes: order, limits, idempotence, acknowledgement, restart.

use super::Fixture;
use super::rig::{ACCEPTED_UNIX_MS, Rig, phone, stanza};
use crate::{AccountId, Appended, Completion, Engine, ReadLimit, Seq, ShardIndex, StoreError, Ticket, Usage};

const WIDE: ReadLimit = ReadLimit { messages: usize::MAX, bytes: usize::MAX };

fn queued(appended: Appended) -> Seq {
    match appended {
        Appended::Queued(seq) => seq,
        Appended::Duplicate => panic!("a duplicate"),
    }
}

fn append_all(rig: &mut Rig, account: AccountId, ids: std::ops::Range<u128>) {
    for id in ids {
        rig.append_durably(account, id);
    }
}

/// Closes an engine as a process does that ends properly.
pub(super) fn close(engine: Box<dyn Engine>, rig: Rig) {
    drop(rig);
    engine.close();
}

pub(super) fn append_and_read(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let appended: Vec<(Seq, Ticket)> = (1..=5)
        .map(|id| rig.append(romeo, id).expect("accepted"))
        .map(|(appended, ticket)| (queued(appended), ticket))
        .collect();
    let entries = rig.read(romeo, Seq(0), WIDE).0;
    assert_eq!(
        entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        appended.iter().map(|a| a.0).collect::<Vec<_>>()
    );
    for (id, entry) in (1..).zip(&entries) {
        assert_eq!((entry.id.0, entry.stanza.pieces().concat()), (id, stanza(id)));
        assert_eq!(entry.accepted_unix_ms, ACCEPTED_UNIX_MS + id as u64);
    }
    let bytes: usize = entries.iter().map(|entry| entry.stanza.len()).sum();
    assert_eq!(rig.usage(romeo), Usage { messages: 5, bytes: bytes as u64 });
    assert_eq!(rig.usage(phone(2)), Usage::default());
    assert!(rig.read(phone(2), Seq(0), WIDE).0.is_empty());
    for (_, ticket) in &appended {
        rig.committed(*ticket);
    }
    assert_eq!(rig.ids(romeo), [1, 2, 3, 4, 5]);
    let later = rig.append_durably(romeo, 6);
    assert!(later > appended[4].0, "numbers grow");
}

pub(super) fn read_limits(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let seqs: Vec<Seq> = (1..=6).map(|id| rig.append_durably(romeo, id)).collect();
    let two = ReadLimit { messages: 2, bytes: usize::MAX };
    // Where memory and disk meet, fewer may come at once: reads on up to the limit.
    let read = |rig: &mut Rig, mut after, limit: ReadLimit| {
        let (mut ids, mut left, mut more) = (Vec::new(), limit, true);
        while more && (ids.is_empty() || left.messages > 0 && left.bytes >= stanza(1).len()) {
            let (entries, rest) = rig.read(romeo, after, left);
            more = rest;
            after = entries.last().map_or(after, |entry| entry.seq);
            left.messages -= entries.len();
            let bytes = entries.iter().map(|entry| entry.stanza.len()).sum();
            left.bytes = left.bytes.saturating_sub(bytes);
            ids.extend(entries.iter().map(|entry| entry.id.0));
        }
        (ids, more)
    };
    assert_eq!(read(&mut rig, Seq(0), two), (vec![1, 2], true));
    assert_eq!(read(&mut rig, seqs[3], two), (vec![5, 6], false));
    assert_eq!(read(&mut rig, seqs[5], two), (vec![], false));
    let size = stanza(1).len();
    let bytes = |bytes| ReadLimit { messages: 10, bytes };
    assert_eq!(read(&mut rig, Seq(0), bytes(3 * size)), (vec![1, 2, 3], true));
    assert_eq!(read(&mut rig, Seq(0), bytes(3 * size - 1)), (vec![1, 2], true));
    assert_eq!(read(&mut rig, Seq(0), bytes(0)), (vec![1], true), "at least one");
    assert_eq!(read(&mut rig, seqs[4], bytes(0)), (vec![6], false));
    rig.store.ack(romeo, &seqs[1..3]);
    assert_eq!(read(&mut rig, Seq(0), two), (vec![1, 4], true));
    assert_eq!(read(&mut rig, seqs[1], two), (vec![4, 5], true), "after one that is gone");
}

pub(super) fn duplicates(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let (first, first_ticket) = rig.append(romeo, 1).expect("accepted");
    let (again, again_ticket) = rig.append(romeo, 1).expect("accepted");
    assert_eq!(again, Appended::Duplicate);
    rig.committed(first_ticket);
    rig.committed(again_ticket);
    let (again, ticket) = rig.append(romeo, 1).expect("accepted");
    assert_eq!(again, Appended::Duplicate, "also when the first is durable");
    rig.committed(ticket);
    assert_eq!(rig.ids(romeo), [1]);
    rig.store.ack(romeo, &[queued(first)]);
    rig.append_durably(romeo, 1);
    assert_eq!(rig.ids(romeo), [1], "acknowledged, it is a new message");
}

pub(super) fn duplicates_of_what_has_waited(fixture: &dyn Fixture) {
    let romeo = phone(1);
    let read = |rig: &mut Rig| {
        rig.read_all(romeo, 7).into_iter().map(|entry| (entry.id.0, entry.seq)).collect::<Vec<_>>()
    };
    for run in 0..3 {
        let engine = fixture.open();
        let mut rig = Rig::new(&*engine);
        rig.load(romeo);
        // Some of them for so long that they may be anywhere.
        for id in 0..=40 * run {
            let (again, ticket) = rig.append(romeo, id).expect("accepted");
            rig.committed(ticket);
            let expected = if run > 0 && id <= 40 * (run - 1) { "known" } else { "new" };
            assert_eq!(
                again == Appended::Duplicate,
                expected == "known",
                "message {id} in run {run} is {expected}"
            );
        }
        let there = read(&mut rig);
        assert_eq!(there.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (0..=40 * run).collect::<Vec<_>>());
        drop(rig);
        engine.close();
    }
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    rig.load(romeo);
    let there = read(&mut rig);
    let acked: Vec<Seq> = there.iter().filter(|(id, _)| id % 3 == 0).map(|(_, seq)| *seq).collect();
    rig.store.ack(romeo, &acked);
    for id in 0..6 {
        let (again, ticket) = rig.append(romeo, id).expect("accepted");
        rig.committed(ticket);
        assert_eq!(again == Appended::Duplicate, id % 3 != 0, "acknowledged, it is a new message: {id}");
    }
}

pub(super) fn same_id_elsewhere(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    rig.append_durably(phone(1), 1);
    rig.append_durably(phone(2), 1);
    assert_eq!((rig.ids(phone(1)), rig.ids(phone(2))), (vec![1], vec![1]));
}

pub(super) fn acks(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, juliet) = (phone(1), phone(2));
    let seqs: Vec<Seq> = (1..=4).map(|id| rig.append_durably(romeo, id)).collect();
    rig.append_durably(juliet, 9);
    rig.store.ack(juliet, &seqs);
    assert_eq!(rig.ids(romeo), [1, 2, 3, 4], "somebody else's acknowledgement");
    rig.store.ack(romeo, &[seqs[2], seqs[0], Seq(u64::MAX), Seq(0)]);
    rig.store.ack(romeo, &[seqs[2]]);
    assert_eq!(rig.ids(romeo), [2, 4]);
    rig.turn();
    assert_eq!(rig.ids(romeo), [2, 4]);
    rig.store.ack(romeo, &[seqs[1], seqs[3]]);
    assert_eq!(rig.ids(romeo), [0; 0]);
    rig.until("usage returns to nothing", |rig| rig.usage(romeo) == Usage::default());
    assert_eq!(rig.ids(juliet), [9]);
}

pub(super) fn ack_before_durable(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let (appended, ticket) = rig.append(romeo, 1).expect("accepted");
    rig.store.ack(romeo, &[queued(appended)]);
    let mut completions = Vec::new();
    rig.store.poll(&mut completions);
    assert!(matches!(completions[..], [Completion::Committed(of)] if of == ticket), "{completions:?}");
    assert!(rig.ids(romeo).is_empty());
    let next = rig.append(romeo, 2).expect("accepted").1;
    rig.committed(next);
    assert!(rig.take_completions().is_empty(), "a ticket completes once");
}

pub(super) fn ticket_order(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let append = |rig: &mut Rig, id| rig.append(romeo, id).expect("accepted");
    let (one, first) = append(&mut rig, 1);
    let (two, second) = append(&mut rig, 2);
    let (_, repeat) = append(&mut rig, 2);
    let (three, third) = append(&mut rig, 3);
    let (_, fourth) = append(&mut rig, 4);
    rig.store.ack(romeo, &[queued(three)]);
    rig.store.ack(romeo, &[queued(two)]);
    assert_eq!(rig.ids(romeo), [1, 4]);
    rig.store.ack(romeo, &[queued(one)]);
    let mut order = Vec::new();
    rig.until("five completions", |rig| {
        order.extend(rig.take_completions().into_iter().map(|completion| match completion {
            Completion::Committed(ticket) => ticket,
            other => panic!("{other:?}"),
        }));
        order.len() >= 5
    });
    assert_eq!(order, [first, second, repeat, third, fourth]);
}

pub(super) fn bounds(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    for id in 0..u128::from(fixture.max_messages()) {
        rig.append(romeo, id).expect("accepted");
        rig.turn();
    }
    let too_many = rig.append(romeo, 1 << 100);
    assert!(matches!(too_many, Err(StoreError::MailboxFull)), "{too_many:?}");
    rig.append_durably(phone(2), 1);
    let first = rig.read(romeo, Seq(0), ReadLimit { messages: 1, bytes: 0 }).0[0].seq;
    rig.store.ack(romeo, &[first]);
    rig.until("room after an acknowledgement", |rig| rig.usage(romeo).messages < fixture.max_messages());
    rig.append_durably(romeo, 1 << 100);

    let big = vec![b'x'; fixture.max_bytes() as usize];
    let (_, ticket) = rig.append_stanza(phone(3), 1, &big).expect("fits exactly");
    rig.committed(ticket);
    let too_much = rig.append(phone(3), 2);
    assert!(matches!(too_much, Err(StoreError::MailboxFull)), "{too_much:?}");
}

pub(super) fn purge(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    append_all(&mut rig, romeo, 0..40);
    rig.append_durably(phone(2), 1);
    let (_, waiting) = rig.append(romeo, 100).expect("accepted");
    let purged = rig.ticket();
    rig.store.purge(romeo, purged);
    assert_eq!(rig.ids(romeo), [0; 0], "at once");
    rig.committed(waiting);
    assert_eq!(rig.ids(romeo), [0; 0]);
    assert_eq!(rig.usage(romeo), Usage::default());
    rig.append_durably(romeo, 5);
    assert_eq!((rig.ids(romeo), rig.ids(phone(2))), (vec![5], vec![1]));
    rig.until("usage is exact", |rig| rig.usage(romeo).messages == 1);
}

pub(super) fn long_mailbox(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let count = u128::from(fixture.max_messages());
    for id in 0..count / 2 {
        rig.append_durably(romeo, id);
    }
    assert_eq!(rig.ids(romeo), (0..count / 2).collect::<Vec<_>>());
    // Read on in small windows, acknowledging some, while more comes in.
    let (mut seen, mut next, mut after) = (Vec::new(), count / 2, Seq(0));
    loop {
        let (entries, more) = rig.read(romeo, after, ReadLimit { messages: 3, bytes: usize::MAX });
        seen.extend(entries.iter().map(|entry| entry.id.0));
        after = entries.last().map_or(after, |entry| entry.seq);
        let acked: Vec<Seq> =
            entries.iter().filter(|entry| entry.id.0 % 3 != 0).map(|entry| entry.seq).collect();
        rig.store.ack(romeo, &acked);
        if next < count * 3 / 4 {
            rig.append_durably(romeo, next);
            next += 1;
        } else if !more && entries.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (0..count * 3 / 4).collect::<Vec<_>>(), "no gap, nothing twice");
    let left: Vec<u128> = (0..count * 3 / 4).filter(|id| id % 3 == 0).collect();
    assert_eq!(rig.ids(romeo), left);
    rig.until("usage is exact", |rig| rig.usage(romeo).messages == left.len() as u64);
}

pub(super) fn restart(fixture: &dyn Fixture) {
    let (romeo, juliet) = (phone(1), phone(2));
    let mut last = Seq(0);
    let mut kept: Vec<u128> = Vec::new();
    for round in 0..3u128 {
        let engine = fixture.open();
        let mut rig = Rig::new(&*engine);
        assert_eq!(rig.ids(romeo), kept, "round {round}");
        assert_eq!(rig.usage(romeo).messages, kept.len() as u64);
        for id in round * 100..round * 100 + 10 {
            let seq = rig.append_durably(romeo, id);
            assert!(seq > last, "numbers grow across restarts");
            last = seq;
        }
        let seq = rig.append_durably(juliet, round);
        rig.store.ack(juliet, &[seq]);
        // The oldest is acknowledged: in later rounds, one that an earlier engine took.
        let oldest = rig.read_all(romeo, 100)[0].seq;
        rig.store.ack(romeo, &[oldest]);
        kept = rig.ids(romeo);
        rig.turn();
        close(engine, rig);
    }
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    assert_eq!(rig.ids(romeo), kept);
    assert_eq!(rig.ids(juliet), [0; 0]);
    assert_eq!(kept.len(), 27);
}

pub(super) fn purge_and_restart(fixture: &dyn Fixture) {
    let romeo = phone(1);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    append_all(&mut rig, romeo, 0..10);
    close(engine, rig);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    append_all(&mut rig, romeo, 10..20);
    let ticket = rig.ticket();
    rig.store.purge(romeo, ticket);
    rig.append_durably(romeo, 20);
    close(engine, rig);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    assert_eq!(rig.ids(romeo), [20]);
}

pub(super) fn other_shards(fixture: &dyn Fixture) {
    let accounts: Vec<_> = (0..50).map(phone).collect();
    for shards in [1u16, 3, 2] {
        let engine = fixture.open();
        let mut rigs: Vec<Rig> =
            (0..shards).map(|shard| Rig::of_shard(&*engine, ShardIndex(shard), shards)).collect();
        for (id, &account) in (0..).zip(&accounts) {
            let rig = &mut rigs[usize::from(account.shard(shards).0)];
            match shards {
                1 => append_all(rig, account, id..id + 1),
                _ => assert_eq!(rig.ids(account), [id]),
            }
        }
        drop(rigs);
        engine.close();
    }
}

/// An account goes and comes while its messages move from memory to disk: what waits, and how much that is, is known whenever it is here.
pub(super) fn come_and_go(fixture: &dyn Fixture) {
    let (romeo, juliet) = (phone(1), phone(2));
    let mut kept: Vec<u128> = Vec::new();
    for opening in 0..2u128 {
        let engine = fixture.open();
        let mut rig = Rig::new(&*engine);
        for round in 0..20u128 {
            rig.load(romeo);
            let first = 1_000 * opening + 10 * round;
            assert_eq!(rig.usage(romeo).messages, kept.len() as u64, "{opening} {round}");
            append_all(&mut rig, romeo, first..first + 3);
            append_all(&mut rig, juliet, first..first + 3);
            kept.extend(first..first + 3);
            for &id in &kept {
                assert_eq!(
                    rig.append(romeo, id).expect("taken").0,
                    Appended::Duplicate,
                    "{opening} {round}: {id}"
                );
            }
            if round % 3 == 1 {
                let entries = rig.read_all(romeo, 7);
                rig.store.ack(romeo, &[entries[0].seq, entries[2].seq]);
                kept.remove(2);
                kept.remove(0);
            }
            assert_eq!(rig.ids(romeo), kept, "{opening} {round}");
            let bytes: usize = kept.iter().map(|&id| stanza(id).len()).sum();
            assert_eq!(rig.usage(romeo), Usage { messages: kept.len() as u64, bytes: bytes as u64 });
            rig.leave(romeo);
            if round % 4 == 0 {
                rig.turn();
            }
        }
        close(engine, rig);
    }
}
