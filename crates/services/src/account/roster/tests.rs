//! The roster's rules without a wire: items, bounds, removal, requests, versions, documents.

use super::*;
use crate::knobs::Knob;
use proptest::prelude::*;

fn contact(number: u64) -> Contact {
    Contact::Phone(15_551_230_000 + number)
}

fn with_item(number: u64) -> Roster {
    let mut roster = Roster::default();
    roster.set(&contact(number), "Romeo", vec!["Friends".into()], &RosterKnobs::default()).unwrap();
    roster
}

#[test]
fn a_new_item_has_no_subscription() {
    let roster = with_item(1);
    let item = roster.get(&contact(1)).unwrap();
    assert_eq!((item.name(), item.groups().len(), item.state().as_str()), ("Romeo", 1, "none"));
}

#[test]
fn changing_an_item_keeps_its_subscription() {
    let knobs = RosterKnobs::default();
    let mut roster = with_item(1);
    roster.outbound(&contact(1), Kind::Subscribe, &knobs).unwrap();
    roster.set(&contact(1), "", vec![], &knobs).unwrap();
    let item = roster.get(&contact(1)).unwrap();
    assert!(item.state().pending_out() && item.name().is_empty() && item.groups().is_empty());
}

#[test]
fn removal_cancels_what_there_was() {
    let knobs = RosterKnobs::default();
    let mut roster = with_item(1);
    let nothing = Removed { unsubscribe: false, unsubscribed: false, presence: PresenceDue::Nothing };
    assert_eq!(roster.clone().remove(&contact(1)), Some(nothing));

    roster.outbound(&contact(1), Kind::Subscribe, &knobs).unwrap();
    assert_eq!(roster.clone().remove(&contact(1)), Some(Removed { unsubscribe: true, ..nothing }));

    roster.inbound(&contact(1), Kind::Subscribe, "", &knobs).unwrap();
    roster.outbound(&contact(1), Kind::Subscribed, &knobs).unwrap();
    let both = Removed { unsubscribe: true, unsubscribed: true, presence: PresenceDue::Unavailable };
    assert_eq!(roster.remove(&contact(1)), Some(both));
    assert_eq!(roster.remove(&contact(1)), None);
}

#[test]
fn who_only_asks_is_no_item_and_cannot_be_removed() {
    let mut roster = Roster::default();
    roster.inbound(&contact(1), Kind::Subscribe, "<presence/>", &RosterKnobs::default()).unwrap();
    assert_eq!(roster.listed().count(), 0);
    assert_eq!(roster.remove(&contact(1)), None);
    assert_eq!(roster.requests().collect::<Vec<_>>(), [(&contact(1), "<presence/>")]);
}

#[test]
fn a_request_is_kept_until_it_is_answered() {
    let knobs = RosterKnobs::default();
    let mut roster = with_item(1);
    let step = roster.inbound(&contact(1), Kind::Subscribe, "<presence>hello</presence>", &knobs).unwrap();
    assert!(step.changed && step.pass_on && !step.push);
    let again = roster.inbound(&contact(1), Kind::Subscribe, "<presence>again</presence>", &knobs).unwrap();
    assert!(!again.changed && !again.pass_on, "delivered once");
    assert_eq!(roster.requests().next().unwrap().1, "<presence>hello</presence>");

    roster.outbound(&contact(1), Kind::Subscribed, &knobs).unwrap();
    assert_eq!(roster.requests().count(), 0);
    assert_eq!(roster.get(&contact(1)).unwrap().name(), "Romeo");
}

#[test]
fn a_long_request_is_kept_without_what_is_inside() {
    let mut roster = Roster::default();
    let long = "x".repeat(REQUEST_BYTES_MAX + 1);
    roster.inbound(&contact(1), Kind::Subscribe, &long, &RosterKnobs::default()).unwrap();
    assert_eq!(roster.requests().next().unwrap().1, "");
}

#[test]
fn bounds_hold() {
    let knobs = RosterKnobs { items: Knob::new(3, 1, 9), pending_requests: Knob::new(2, 1, 9) };
    let mut roster = Roster::default();
    for number in 0..2 {
        roster.inbound(&contact(number), Kind::Subscribe, "", &knobs).unwrap();
    }
    assert_eq!(roster.inbound(&contact(2), Kind::Subscribe, "", &knobs), Err(Full), "requests");
    roster.set(&contact(3), "", vec![], &knobs).unwrap();
    assert_eq!(roster.set(&contact(4), "", vec![], &knobs), Err(Full), "items");
    assert_eq!(roster.outbound(&contact(4), Kind::Subscribe, &knobs), Err(Full), "items");
    assert_eq!(roster.items().len(), 3);
    roster.set(&contact(3), "still", vec![], &knobs).unwrap();
}

#[test]
fn names_and_groups_are_bounded_together() {
    let knobs = RosterKnobs { items: Knob::new(10_000, 1, 10_000), ..RosterKnobs::default() };
    let mut roster = Roster::default();
    let name = "n".repeat(1_024);
    for number in 0..256 {
        roster.set(&contact(number), &name, vec![], &knobs).unwrap();
    }
    assert_eq!(roster.set(&contact(1_000), "n", vec![], &knobs), Err(Full));
    roster.set(&contact(0), &name, vec![], &knobs).unwrap();
    roster.set(&contact(0), "", vec![], &knobs).unwrap();
    roster.set(&contact(1_000), "n", vec![], &knobs).unwrap();
}

#[test]
fn the_version_changes_with_what_clients_see_only() {
    let knobs = RosterKnobs::default();
    let mut roster = with_item(1);
    let first = roster.version();
    roster.inbound(&contact(2), Kind::Subscribe, "", &knobs).unwrap();
    assert_eq!(roster.version(), first, "who only asks is not seen");
    roster.outbound(&contact(1), Kind::Subscribe, &knobs).unwrap();
    assert_ne!(roster.version(), first);
    roster.outbound(&contact(1), Kind::Unsubscribe, &knobs).unwrap();
    assert_eq!(roster.version(), first);
}

#[test]
fn a_damaged_document_is_an_error() {
    let bad = [
        r#"{"format":2,"items":[]}"#,
        r#"{"format":1}"#,
        r#"{"format":1,"items":[{"contact":"+0"}]}"#,
        r#"{"format":1,"items":[{"contact":"a@b","subscription":"to","ask":true}]}"#,
        r#"{"format":1,"items":[{"contact":"a@b","unlisted":true}]}"#,
        r#"{"format":1,"items":[{"contact":"a@b"},{"contact":"a@b"}]}"#,
        "",
    ];
    for json in bad {
        assert!(Roster::from_document(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn logs_do_not_show_what_users_wrote() {
    let shown = format!("{:?}", with_item(1));
    assert!(!shown.contains("Romeo") && !shown.contains("15551230001"), "{shown}");
}

#[derive(Debug, Clone)]
enum Act {
    Set(u64, String),
    Remove(u64),
    Out(u64, usize),
    In(u64, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..6u64, "[a-c&<\"]{0,3}").prop_map(|(n, name)| Act::Set(n, name)),
        (0..6u64).prop_map(Act::Remove),
        (0..6u64, 0..4usize).prop_map(|(n, kind)| Act::Out(n, kind)),
        (0..6u64, 0..4usize).prop_map(|(n, kind)| Act::In(n, kind)),
    ];
    proptest::collection::vec(act, 0..40)
}

proptest! {
    #[test]
    fn any_history_round_trips_through_its_document_and_can_be_taken_back(acts in acts()) {
        let knobs = RosterKnobs::default();
        let mut roster = Roster::default();
        let mut history = Vec::new();
        for act in acts {
            let (Act::Set(n, _) | Act::Remove(n) | Act::Out(n, _) | Act::In(n, _)) = act;
            history.push(roster.undo_point(&contact(n)));
            match act {
                Act::Set(n, name) => roster.set(&contact(n), &name, vec!["g".into()], &knobs).unwrap(),
                Act::Remove(n) => _ = roster.remove(&contact(n)),
                Act::Out(n, kind) => _ = roster.outbound(&contact(n), Kind::ALL[kind], &knobs).unwrap(),
                Act::In(n, kind) => _ = roster.inbound(&contact(n), Kind::ALL[kind], "<presence/>", &knobs).unwrap(),
            }
        }
        prop_assert!(roster.items().windows(2).all(|pair| pair[0].contact() < pair[1].contact()));
        let read = Roster::from_document(&roster.to_document()).unwrap();
        prop_assert_eq!(&read, &roster);
        prop_assert_eq!(read.version(), roster.version());
        for undo in history.into_iter().rev() {
            roster.take_back(undo);
        }
        prop_assert_eq!(roster, Roster::default());
    }

    /// Who has any version that is not forgotten yet comes to the roster as it is by the items that have changed since.
    #[test]
    fn what_has_changed_since_a_version_makes_up_for_it(acts in acts()) {
        let knobs = RosterKnobs::default();
        let mut roster = Roster::default();
        // Enough that nobody touches, so that the changed are few.
        (100..130).for_each(|n| roster.set(&contact(n), "", vec![], &knobs).unwrap());
        roster.changes = Changes::default();
        let seen = |roster: &Roster| -> std::collections::BTreeMap<Contact, String> {
            let look = |item: &Item| format!("{:?} {} {:?}", (item.state().as_str(), item.state().asks(), item.state().approved()), item.name(), item.groups());
            roster.listed().map(|item| (item.contact().clone(), look(item))).collect()
        };
        let mut versions = vec![(roster.version(), seen(&roster))];
        for act in acts {
            let (Act::Set(n, _) | Act::Remove(n) | Act::Out(n, _) | Act::In(n, _)) = act;
            let undo = roster.undo_point(&contact(n));
            match act {
                Act::Set(n, name) if name == "&" => { roster.remove(&contact(n)); roster.take_back(undo); }
                Act::Set(n, name) => roster.set(&contact(n), &name, vec!["g".into()], &knobs).unwrap(),
                Act::Remove(n) => _ = roster.remove(&contact(n)),
                Act::Out(n, kind) => _ = roster.outbound(&contact(n), Kind::ALL[kind], &knobs).unwrap(),
                Act::In(n, kind) => _ = roster.inbound(&contact(n), Kind::ALL[kind], "<presence/>", &knobs).unwrap(),
            }
            versions.push((roster.version(), seen(&roster)));
        }
        let now = seen(&roster);
        for (version, mut view) in versions {
            let Some(changed) = roster.changed_since(&version) else {
                prop_assert!(view == now, "a version is forgotten early");
                continue;
            };
            for contact in changed {
                match now.get(&contact) {
                    Some(look) => _ = view.insert(contact, look.clone()),
                    None => _ = view.remove(&contact),
                }
            }
            prop_assert_eq!(&view, &now);
        }
    }
}

#[test]
fn with_too_many_changes_the_whole_roster_is_due_once_and_then_it_goes_on() {
    let knobs = RosterKnobs::default();
    let mut roster = Roster::default();
    (100..130).for_each(|n| roster.set(&contact(n), "", vec![], &knobs).unwrap());
    let old = roster.version();
    for n in 0..99 {
        roster.set(&contact(100), &n.to_string(), vec![], &knobs).unwrap();
    }
    assert_eq!(roster.changed_since(&old), None);
    let told = roster.version();
    roster.set(&contact(101), "x", vec![], &knobs).unwrap();
    assert_eq!(roster.changed_since(&told), None, "nobody was sent it");
    let told = roster.version();
    roster.note_sent();
    roster.set(&contact(102), "x", vec![], &knobs).unwrap();
    assert_eq!(roster.changed_since(&told), Some(vec![contact(102)]));
    for n in 100..116 {
        roster.set(&contact(n), "y", vec![], &knobs).unwrap();
    }
    assert_eq!(roster.changed_since(&told), None, "more than half: all of it is less");
}
