//! The checker accepts what is good.

use super::*;
use crate::event::{Cause, Content, Letter, Lock, Showing, StanzaId, Timed};
use crate::model::play;

/// The rules that these events break, all at one time.
fn rules_of(events: Vec<Event>) -> Vec<Rule> {
    let history: Vec<_> = events.into_iter().map(|event| Timed { at_ms: 0, event }).collect();
    judge(Knobs::default(), &history).iter().map(|verdict| verdict.rule).collect()
}

#[test]
fn what_the_model_does_is_good() {
    for seed in 0..2_000 {
        let history = play::history(seed, 150);
        let verdicts = judge(Knobs::default(), &history);
        if let Some(verdict) = verdicts.first() {
            for (place, timed) in history.iter().enumerate() {
                println!("{place} {timed:?}");
            }
            panic!("seed {seed}: {verdict}");
        }
    }
}

/// A removal that was asked for and never answered may have been carried out: who had been blocked may be nobody's enemy now.
#[test]
fn after_a_removal_without_an_answer_nobody_knows_who_is_blocked() {
    let (romeo, tybalt) = (Account(1), Account(2));
    let (reader, writer) = (Session(1), Session(2));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let showing = Showing { from: tybalt, content, stanza_id: Some(StanzaId(1)), delayed: false };
    let register =
        |key| Event::Registered { account: romeo, key, proof: true, silent_ms: 0, lock: Lock::None };
    let rules = |is_leaving: bool| {
        let mut events = vec![register(1), Event::Blocked { by: romeo, whom: tybalt }];
        events.extend(is_leaving.then_some(Event::Removing { account: romeo }));
        events.extend([
            Event::Crashed { power: false },
            register(2),
            Event::Began { session: reader, account: romeo, device: Device(1), key: 2 },
            Event::Began { session: writer, account: tybalt, device: Device(2), key: 1 },
            Event::Sent { session: writer, letter: Some(letter) },
            Event::Shown { session: reader, showing: Some(showing) },
        ]);
        rules_of(events)
    };
    assert_eq!((rules(true), rules(false)), (vec![], vec![Rule::BlockedShown]));
}

/// Nor whether there is an account: a blocked sender may be told that there is none, as anybody is. Before the removal is asked for,
/// an error can only be about the block.
#[test]
fn after_a_removal_without_an_answer_a_blocked_sender_may_be_told_that_nobody_is_there() {
    let (romeo, tybalt, writer) = (Account(1), Account(2), Session(1));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let asked = Event::Removing { account: romeo };
    let rules = |is_asked_before: bool, is_asked_after: bool| -> Vec<Rule> {
        let mut events = vec![
            Event::Registered { account: romeo, key: 1, proof: true, silent_ms: 0, lock: Lock::None },
            Event::Blocked { by: romeo, whom: tybalt },
        ];
        events.extend(is_asked_before.then_some(asked));
        events.extend([
            Event::Crashed { power: false },
            Event::Began { session: writer, account: tybalt, device: Device(2), key: 1 },
            Event::Managed { session: writer },
            Event::Sent { session: writer, letter: Some(letter) },
            Event::Refused { session: writer, to: romeo, content: Some(content), is_bound: false },
            Event::Covered { session: writer, h: 1 },
        ]);
        events.extend(is_asked_after.then_some(asked));
        rules_of(events)
    };
    assert_eq!(rules(true, false), []);
    assert_eq!((rules(false, false), rules(false, true)), (vec![Rule::BlockedTold], vec![Rule::BlockedTold]));
}

/// An error whose message can't be told by its id, behind a resumption that has covered it: it is for the only one left, or for one
/// of several. Without any error a message for nobody was accepted.
#[test]
fn an_error_behind_a_resumption_is_for_what_is_left() {
    let (romeo, tybalt, writer) = (Account(1), Account(2), Session(1));
    let contents = [7, 8].map(|number| Content { identity: Some(number), bytes: number });
    let error = |content| Event::Refused { session: writer, to: romeo, content, is_bound: false };
    let rules = |errors: &[Event]| -> Vec<Rule> {
        let mut events = vec![
            Event::Registered { account: romeo, key: 1, proof: true, silent_ms: 0, lock: Lock::None },
            Event::Removed { account: romeo },
            Event::Began { session: writer, account: tybalt, device: Device(2), key: 1 },
            Event::Managed { session: writer },
        ];
        events.extend(contents.map(|content| {
            let letter = Letter { to: romeo, resource: None, content, kept: true };
            Event::Sent { session: writer, letter: Some(letter) }
        }));
        events.push(Event::Lost { session: writer, missing: 0 });
        events.push(Event::Resumed { session: writer, key: 1, h: 2, arrived: 0 });
        events.extend(errors);
        events.push(Event::Covered { session: writer, h: 2 });
        rules_of(events)
    };
    assert_eq!(rules(&[error(Some(contents[0])), error(None)]), []);
    assert_eq!(rules(&[error(None), error(Some(contents[0]))]), []);
    assert_eq!(rules(&[error(Some(contents[0]))]), [Rule::AcceptedForNobody]);
    assert_eq!(rules(&[]), [Rule::AcceptedForNobody; 2]);
}

/// What was refused and is sent again while its sender is blocked is dropped like anything of theirs; without the block it is owed.
#[test]
fn what_was_refused_is_sent_anew() {
    let (romeo, tybalt) = (Account(1), Account(2));
    let (reader, writer) = (Session(1), Session(2));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let register = Event::Registered { account: romeo, key: 1, proof: true, silent_ms: 0, lock: Lock::None };
    let rules = |is_blocked: bool| -> Vec<Rule> {
        let mut events = vec![
            Event::Began { session: writer, account: tybalt, device: Device(2), key: 1 },
            Event::Managed { session: writer },
            register,
            Event::Began { session: reader, account: romeo, device: Device(1), key: 1 },
            Event::Sent { session: writer, letter: Some(letter) },
            Event::Refused { session: writer, to: romeo, content: Some(content), is_bound: true },
            Event::Covered { session: writer, h: 1 },
        ];
        events.extend(is_blocked.then_some(Event::Blocked { by: romeo, whom: tybalt }));
        events.extend([
            Event::Sent { session: writer, letter: Some(letter) },
            Event::Covered { session: writer, h: 2 },
            Event::Drained { account: romeo },
        ]);
        rules_of(events)
    };
    assert_eq!((rules(true), rules(false)), (vec![], vec![Rule::NeverShown]));
}

/// The second copy of what was dropped because its sender was blocked may come after the block is gone, if it was under way then.
#[test]
fn a_copy_that_is_under_way_when_a_block_ends_may_be_shown() {
    let (romeo, tybalt) = (Account(1), Account(2));
    let (reader, writer) = (Session(1), Session(2));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let showing = Showing { from: tybalt, content, stanza_id: Some(StanzaId(1)), delayed: false };
    let register =
        |account| Event::Registered { account, key: 1, proof: true, silent_ms: 0, lock: Lock::None };
    let sent = Event::Sent { session: writer, letter: Some(letter) };
    let rules = |is_sent_again: bool| -> Vec<Rule> {
        let mut events = vec![
            register(romeo),
            register(tybalt),
            Event::Began { session: reader, account: romeo, device: Device(1), key: 1 },
            Event::Began { session: writer, account: tybalt, device: Device(2), key: 1 },
            Event::Managed { session: writer },
            Event::Blocked { by: romeo, whom: tybalt },
            sent,
            Event::Covered { session: writer, h: 1 },
        ];
        events.extend(is_sent_again.then_some(sent));
        events.push(Event::Unblocked { by: romeo, whom: Some(tybalt) });
        events.push(Event::Shown { session: reader, showing: Some(showing) });
        rules_of(events)
    };
    assert_eq!((rules(true), rules(false)), (vec![], vec![Rule::BlockedShown]));
}

/// What was accepted before a removal that nobody has answered may be told to be accepted after it, and has gone with it. What is sent
/// again after it is owed.
#[test]
fn what_was_accepted_before_a_removal_without_an_answer_may_have_gone_with_it() {
    let (romeo, juliet, writer) = (Account(1), Account(2), Session(1));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let register =
        |account, key| Event::Registered { account, key, proof: true, silent_ms: 0, lock: Lock::None };
    let sent = Event::Sent { session: writer, letter: Some(letter) };
    let rules = |is_removed: bool, sends_again: bool| -> Vec<Rule> {
        let mut events = vec![
            register(romeo, 1),
            register(juliet, 1),
            Event::Began { session: writer, account: juliet, device: Device(2), key: 1 },
            Event::Managed { session: writer },
            sent,
        ];
        events.extend(is_removed.then_some(Event::Removing { account: romeo }));
        events.push(register(romeo, 2));
        events.extend(sends_again.then_some(sent));
        events.push(Event::Covered { session: writer, h: 1 + u32::from(sends_again) });
        events.push(Event::Drained { account: romeo });
        rules_of(events)
    };
    assert_eq!(rules(true, false), []);
    assert_eq!(rules(false, false), [Rule::NeverShown]);
    assert_eq!(rules(true, true), [Rule::NeverShown]);
}

/// What its sender has sent twice may be acknowledged while the other copy is under way: that comes as a new one, or not at all.
#[test]
fn a_copy_that_is_under_way_may_come_after_the_other_was_acknowledged() {
    let (romeo, juliet) = (Account(1), Account(2));
    let (reader, writer) = (Session(1), Session(2));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let showing = Showing { from: juliet, content, stanza_id: Some(StanzaId(1)), delayed: false };
    let rules = |sends: usize, covered: u32| -> Vec<Rule> {
        let register =
            |account| Event::Registered { account, key: 1, proof: true, silent_ms: 0, lock: Lock::None };
        let mut events = vec![
            register(romeo),
            register(juliet),
            Event::Began { session: reader, account: romeo, device: Device(1), key: 1 },
            Event::Managed { session: reader },
            Event::Began { session: writer, account: juliet, device: Device(2), key: 1 },
            Event::Managed { session: writer },
        ];
        events.extend((0..sends).map(|_| Event::Sent { session: writer, letter: Some(letter) }));
        events.extend([
            Event::Covered { session: writer, h: covered },
            Event::Shown { session: reader, showing: Some(showing) },
            Event::Acknowledged { session: reader, h: 1 },
            Event::Shown { session: reader, showing: Some(showing) },
        ]);
        rules_of(events)
    };
    assert_eq!(rules(2, 1), []);
    assert_eq!(rules(2, 2), [Rule::AfterAcknowledged], "neither is under way");
    assert_eq!(rules(1, 1), [Rule::AfterAcknowledged]);
}

/// What waits for a session that is lost, and is acknowledged by another device meanwhile, comes when the session goes on; and again when
/// that connection is lost with it. On a session that began later it does not come at all.
#[test]
fn what_waited_for_a_lost_session_may_come_once_after_each_fault() {
    let (romeo, juliet) = (Account(1), Account(2));
    let (orchard, street, writer) = (Session(1), Session(2), Session(3));
    let content = Content { identity: Some(7), bytes: 7 };
    let letter = Letter { to: romeo, resource: None, content, kept: true };
    let showing = Showing { from: juliet, content, stanza_id: Some(StanzaId(1)), delayed: false };
    let began = |session, account, device| Event::Began { session, account, device: Device(device), key: 1 };
    let shown = |session| Event::Shown { session, showing: Some(showing) };
    let resumed = Event::Resumed { session: orchard, key: 1, h: 0, arrived: 0 };
    let lost = |missing| Event::Lost { session: orchard, missing };
    let rules = |end: &[Event]| -> Vec<Rule> {
        let register =
            |account| Event::Registered { account, key: 1, proof: true, silent_ms: 0, lock: Lock::None };
        let mut events = vec![register(romeo), register(juliet), began(orchard, romeo, 1)];
        events.extend([Event::Managed { session: orchard }, lost(0), began(writer, juliet, 3)]);
        events.extend([
            Event::Managed { session: writer },
            Event::Sent { session: writer, letter: Some(letter) },
        ]);
        events.extend([Event::Covered { session: writer, h: 1 }, began(street, romeo, 2), shown(street)]);
        events.push(Event::Confirmed { session: street });
        events.extend_from_slice(end);
        rules_of(events)
    };
    assert_eq!(rules(&[resumed, shown(orchard)]), []);
    assert_eq!(rules(&[resumed, shown(orchard), lost(1), resumed, shown(orchard)]), []);
    assert_eq!(rules(&[resumed, shown(orchard), shown(orchard)]), [Rule::AfterAcknowledged]);
    let anew = [Event::Ended { session: orchard, cause: Some(Cause::Client) }, began(Session(4), romeo, 1)];
    assert_eq!(rules(&[&anew[..], &[shown(Session(4))]].concat()), [Rule::AfterAcknowledged]);
    let anew = [resumed, shown(orchard), lost(1), anew[0], anew[1], shown(Session(4))];
    assert_eq!(rules(&anew), [Rule::AfterAcknowledged]);
}

/// The answer to a removal was lost: whether it was carried out nobody knows. What is sent again after the number was registered anew may be
/// the only copy, and stands where it was sent then; what is not sent again stands where it was.
#[test]
fn what_is_sent_again_after_a_removal_without_an_answer_stands_where_it_was_sent_last() {
    let (romeo, juliet) = (Account(1), Account(2));
    let (reader, writer) = (Session(1), Session(2));
    let content = |id: u64| Content { identity: Some(id), bytes: id };
    let sent = |id: u64| {
        let letter = Letter { to: romeo, resource: None, content: content(id), kept: true };
        Event::Sent { session: writer, letter: Some(letter) }
    };
    let shown = |id: u64| {
        let showing =
            Showing { from: juliet, content: content(id), stanza_id: Some(StanzaId(id)), delayed: true };
        Event::Shown { session: reader, showing: Some(showing) }
    };
    let register =
        |account, key| Event::Registered { account, key, proof: true, silent_ms: 0, lock: Lock::None };
    let rules = |is_removed: bool| -> Vec<Rule> {
        let mut events = vec![
            register(romeo, 1),
            register(juliet, 1),
            Event::Began { session: writer, account: juliet, device: Device(2), key: 1 },
            Event::Managed { session: writer },
            sent(1),
            Event::Covered { session: writer, h: 1 },
        ];
        events.extend(is_removed.then_some(Event::Removing { account: romeo }));
        events.extend([
            register(romeo, 2),
            sent(2),
            Event::Covered { session: writer, h: 2 },
            sent(1),
            Event::Covered { session: writer, h: 3 },
            Event::Began { session: reader, account: romeo, device: Device(1), key: 2 },
            Event::Managed { session: reader },
            shown(2),
            shown(1),
        ]);
        rules_of(events)
    };
    assert_eq!(rules(true), []);
    assert_eq!(rules(false), [Rule::OutOfOrder], "nothing says that the first copy may be gone");
}
