//! Readers of a mailbox and their cursors ([`crate::cursors`]).

use super::Fixture;
use super::rig::{Rig, phone};
use crate::{AccountId, Cursors, Reader, Seq, Usage};

const PHONE: Reader = Reader(1);
const DESK: Reader = Reader(u64::MAX);

/// Messages 1 to `count` for two devices that have nothing.
fn two_devices(rig: &mut Rig, account: AccountId, count: u128) -> Vec<Seq> {
    rig.load(account);
    rig.store.add_reader(account, PHONE, Seq(0));
    rig.store.add_reader(account, DESK, Seq(0));
    (1..=count).map(|id| rig.append_durably(account, id)).collect()
}

fn cursors(rig: &Rig, account: AccountId) -> Vec<(Reader, Seq)> {
    rig.store.cursors(account).iter().collect()
}

pub(super) fn all_have(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, juliet) = (phone(1), phone(2));
    let seqs = two_devices(&mut rig, romeo, 4);
    rig.append_durably(juliet, 9);
    rig.store.advance(romeo, PHONE, seqs[2]);
    assert_eq!(rig.ids(romeo), [1, 2, 3, 4], "one has it, the other has not");
    rig.store.advance(romeo, DESK, seqs[1]);
    assert_eq!(rig.ids(romeo), [3, 4]);
    // Backwards, of nobody, of another mailbox.
    rig.store.advance(romeo, PHONE, seqs[0]);
    rig.store.advance(romeo, Reader(7), Seq(u64::MAX));
    rig.store.advance(juliet, DESK, Seq(u64::MAX));
    assert_eq!((rig.ids(romeo), rig.ids(juliet)), (vec![3, 4], vec![9]));
    assert_eq!(cursors(&rig, romeo), [(PHONE, seqs[2]), (DESK, seqs[1])]);
    rig.store.advance(romeo, DESK, seqs[3]);
    assert_eq!(rig.ids(romeo), [4]);
    rig.store.advance(romeo, PHONE, seqs[3]);
    assert_eq!(rig.ids(romeo), [0; 0]);
    rig.until("usage returns to nothing", |rig| rig.usage(romeo) == Usage::default());
    assert_eq!(rig.ids(juliet), [9]);
}

pub(super) fn come_and_go(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let seqs = two_devices(&mut rig, romeo, 3);
    rig.store.advance(romeo, PHONE, seqs[2]);
    // A third begins with what is still there behind the second, and one that is known keeps its place.
    rig.store.add_reader(romeo, Reader(5), seqs[1]);
    rig.store.add_reader(romeo, PHONE, Seq(0));
    let expected = [(PHONE, seqs[2]), (Reader(5), seqs[1]), (DESK, Seq(0))];
    assert_eq!(cursors(&rig, romeo), expected);
    for _ in 0..3 {
        rig.turn();
        rig.leave(romeo);
        rig.load(romeo);
        assert_eq!((cursors(&rig, romeo), rig.ids(romeo)), (expected.to_vec(), vec![1, 2, 3]));
    }
    rig.store.remove_reader(romeo, DESK);
    assert_eq!(rig.ids(romeo), [3], "the slowest is waited for no more");
    rig.store.remove_reader(romeo, Reader(5));
    assert_eq!(rig.ids(romeo), [0; 0]);
    let last = rig.append_durably(romeo, 4);
    rig.store.remove_reader(romeo, PHONE);
    assert_eq!((rig.ids(romeo), rig.store.cursors(romeo)), (vec![4], Cursors::default()));
    rig.store.ack(romeo, &[last]);
    assert_eq!(rig.ids(romeo), [0; 0]);
    rig.leave(romeo);
    rig.load(romeo);
    assert!(rig.store.cursors(romeo).is_empty());
}

pub(super) fn before_durable(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let seqs = two_devices(&mut rig, romeo, 1);
    let (_, ticket) = rig.append(romeo, 2).expect("accepted");
    let behind = Seq(u64::MAX);
    rig.store.advance(romeo, PHONE, behind);
    rig.store.advance(romeo, DESK, seqs[0]);
    assert_eq!(rig.ids(romeo), [2]);
    rig.store.advance(romeo, DESK, behind);
    rig.committed(ticket);
    assert_eq!(rig.ids(romeo), [0; 0]);
    rig.append_durably(romeo, 3);
    rig.store.remove_reader(romeo, PHONE);
    rig.leave(romeo);
    rig.load(romeo);
    assert_eq!(rig.ids(romeo), [3], "nobody has what had not come");
}

pub(super) fn for_all(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let seqs = two_devices(&mut rig, romeo, 3);
    rig.store.ack(romeo, &seqs[..2]);
    assert_eq!(rig.ids(romeo), [3], "an acknowledgement speaks for all");
    assert_eq!(cursors(&rig, romeo), [(PHONE, Seq(0)), (DESK, Seq(0))]);
}

pub(super) fn purge(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let (romeo, juliet) = (phone(1), phone(2));
    let seqs = two_devices(&mut rig, romeo, 2);
    two_devices(&mut rig, juliet, 1);
    rig.store.advance(romeo, PHONE, seqs[1]);
    rig.purge(romeo);
    assert!(rig.store.cursors(romeo).is_empty());
    rig.leave(romeo);
    rig.load(romeo);
    assert!(rig.store.cursors(romeo).is_empty(), "who comes next has no device");
    assert_eq!(cursors(&rig, juliet).len(), 2);
    let only = rig.append_durably(romeo, 3);
    rig.store.ack(romeo, &[only]);
    assert_eq!(rig.ids(romeo), [0; 0]);
}

pub(super) fn restart(fixture: &dyn Fixture) {
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    let romeo = phone(1);
    let seqs = two_devices(&mut rig, romeo, 5);
    rig.store.advance(romeo, PHONE, seqs[4]);
    rig.store.advance(romeo, DESK, seqs[1]);
    rig.turn();
    drop(rig);
    engine.close();
    drop(engine);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    rig.load(romeo);
    assert_eq!(cursors(&rig, romeo), [(PHONE, seqs[4]), (DESK, seqs[1])]);
    assert_eq!(rig.ids(romeo), [3, 4, 5]);
    rig.store.advance(romeo, DESK, seqs[4]);
    assert_eq!(rig.ids(romeo), [0; 0]);
    drop(rig);
    engine.close();
    drop(engine);
    let engine = fixture.open();
    let mut rig = Rig::new(&*engine);
    assert_eq!(rig.ids(romeo), [0; 0]);
    assert_eq!(cursors(&rig, romeo), [(PHONE, seqs[4]), (DESK, seqs[4])]);
}
