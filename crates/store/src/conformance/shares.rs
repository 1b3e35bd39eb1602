//! Shares of a mailbox: what one sender may have in it, what all strangers may, and how it comes back.
//!
//! Engines may count too much against a sender who meets another one in a table, so that the cases ask for what holds
//! whoever meets whom.

use super::Fixture;
use super::rig::{ACCEPTED_UNIX_MS, Rig, phone, stanza};
use crate::{AccountId, Charge, Completion, Sender, Shares, StoreError, Usage};

/// Most messages of one stranger, and of all.
fn shares(fixture: &dyn Fixture) -> (u32, u32) {
    let part = |percent: u32| (fixture.max_messages() as u32) * percent / 100;
    let shares = Shares::default();
    (part(shares.stranger_percent), part(shares.strangers_percent))
}

fn stranger(number: u64) -> Sender {
    Sender::stranger(phone(500 + number))
}

fn contact(number: u64) -> Sender {
    Sender::contact(phone(900 + number))
}

/// Writes short messages until one is refused, at most so many; how many were taken.
fn write(rig: &mut Rig, to: AccountId, sender: Sender, next: &mut u128, most: u32) -> u32 {
    for taken in 0..most {
        *next += 1;
        match rig.append_of(sender, to, *next, &stanza(*next)) {
            Ok((_, ticket)) => rig.committed(ticket),
            Err(StoreError::MailboxFull) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
    most
}

pub(super) fn of_one_sender(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, mut next) = (phone(1), 0);
    let (one, _) = shares(fixture);
    assert_eq!(write(&mut rig, romeo, stranger(1), &mut next, 10_000), one);
    assert_eq!(write(&mut rig, romeo, stranger(1), &mut next, 1), 0);
    let others = (10..20).filter(|&of| write(&mut rig, romeo, stranger(of), &mut next, 1) == 1).count();
    assert!(others >= 5, "{others} other strangers got in");
    assert_eq!(write(&mut rig, romeo, contact(1), &mut next, 10), 10);
    assert_eq!(write(&mut rig, phone(2), stranger(1), &mut next, 1), 1, "another mailbox");
}

pub(super) fn of_all_strangers(fixture: &dyn Fixture) {
    let (romeo, mut next) = (phone(1), 0);
    let (_, all) = shares(fixture);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let taken: u32 = (0..200).map(|of| write(&mut rig, romeo, stranger(of), &mut next, 2)).sum();
    assert_eq!(taken, all);
    assert_eq!(write(&mut rig, romeo, contact(1), &mut next, 10), 10);
    rig.turn();
    super::mailboxes::close(engine, rig);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    rig.load(romeo);
    assert_eq!(write(&mut rig, romeo, stranger(300), &mut next, 1), 0, "after a restart");
    assert_eq!(write(&mut rig, romeo, contact(2), &mut next, 10), 10);
}

/// An account goes and comes while what waits for it moves to disk: whose it is is still known.
pub(super) fn come_and_go(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, mut next) = (phone(1), 0);
    rig.load(romeo);
    let mut waiting = write(&mut rig, romeo, contact(1), &mut next, 10_000);
    waiting += (0..10).map(|of| write(&mut rig, romeo, stranger(of), &mut next, 2)).sum::<u32>();
    for round in 0..5 {
        rig.turn();
        rig.leave(romeo);
        rig.load(romeo);
        assert_eq!(rig.usage(romeo).messages, u64::from(waiting));
        assert_eq!(write(&mut rig, romeo, contact(1), &mut next, 1), 0, "{round}");
        let contacts: u32 = (10..14).map(|of| write(&mut rig, romeo, contact(of), &mut next, 1)).sum();
        let strangers: u32 = (30..34).map(|of| write(&mut rig, romeo, stranger(of), &mut next, 1)).sum();
        assert!(contacts >= 2 && strangers >= 2, "{round}: {contacts} {strangers}");
        waiting += contacts + strangers;
    }
}

pub(super) fn given_back(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, mut next) = (phone(1), 0);
    let (one, _) = shares(fixture);
    // What is acknowledged while it moves from one part of an engine to another may count for a moment longer.
    let fill = |rig: &mut Rig, next: &mut u128| {
        let mut taken = 0;
        rig.until("the whole share", |rig| {
            taken += write(rig, romeo, stranger(1), next, one - taken);
            taken == one
        });
        assert_eq!(write(rig, romeo, stranger(1), next, 1), 0);
    };
    for _ in 0..4 {
        fill(&mut rig, &mut next);
        let seqs: Vec<_> = rig.read_all(romeo, 100).iter().map(|entry| entry.seq).collect();
        // In any order, some before others.
        for part in seqs.rchunks(5) {
            rig.store.ack(romeo, part);
            rig.turn();
        }
        rig.until("an empty mailbox", |rig| rig.usage(romeo).messages == 0);
    }
    fill(&mut rig, &mut next);
    rig.purge(romeo);
    fill(&mut rig, &mut next);
}

pub(super) fn bytes(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, share) = (phone(1), fixture.max_bytes() as usize / 10);
    let large = vec![b'x'; share + 1];
    let (_, ticket) = rig.append_of(stranger(1), romeo, 1, &large).expect("the first one fits");
    rig.committed(ticket);
    let second = rig.append_of(stranger(1), romeo, 2, b"<message/>");
    assert!(matches!(second, Err(StoreError::MailboxFull)), "{second:?}");
    let (repeated, ticket) = rig.append_of(stranger(1), romeo, 1, &large).expect("sent again");
    assert_eq!(repeated, crate::Appended::Duplicate);
    rig.committed(ticket);
}

pub(super) fn charge(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, mut next) = (phone(1), 0);
    let (one, _) = shares(fixture);
    let charge = |rig: &mut Rig, sender| -> Result<(), StoreError> {
        let ticket = rig.ticket();
        let size = stanza(1).len();
        let now_unix_ms = ACCEPTED_UNIX_MS;
        rig.store.charge(Charge { account: romeo, sender, size, now_unix_ms, ticket })?;
        rig.wait("a charge", |completion| match completion {
            Completion::Committed(of) if *of == ticket => Some(()),
            _ => None,
        });
        Ok(())
    };
    let charged = (0..).take_while(|_| charge(&mut rig, stranger(1)).is_ok()).count();
    assert_eq!(charged, one as usize, "as many as would have been stored");
    let refused = charge(&mut rig, stranger(1));
    assert!(matches!(refused, Err(StoreError::MailboxFull)), "{refused:?}");
    assert_eq!((rig.ids(romeo), rig.usage(romeo)), (vec![], Usage::default()));
    assert_eq!(write(&mut rig, romeo, stranger(1), &mut next, 1), 1, "what is stored is not held to it");
    assert!((20..30).filter(|&of| charge(&mut rig, stranger(of)).is_ok()).count() >= 5);
    // A mailbox that is full for everybody is full for who is charged.
    (0..200).for_each(|of| _ = write(&mut rig, romeo, contact(of), &mut next, 2));
    let refused = charge(&mut rig, stranger(40));
    assert!(matches!(refused, Err(StoreError::MailboxFull)), "{refused:?}");
}
