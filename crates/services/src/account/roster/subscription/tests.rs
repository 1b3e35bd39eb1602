//! RFC 6121 Appendix A, table by table: every state against every kind in both directions.

use super::*;

/// The nine states of Appendix A.1, as (to, from, pending out, pending in).
fn state(name: &str) -> Subscription {
    let (to, from, pending_out, pending_in) = match name {
        "None" => (false, false, false, false),
        "None + Pending Out" => (false, false, true, false),
        "None + Pending In" => (false, false, false, true),
        "None + Pending Out/In" => (false, false, true, true),
        "To" => (true, false, false, false),
        "To + Pending In" => (true, false, false, true),
        "From" => (false, true, false, false),
        "From + Pending Out" => (false, true, true, false),
        "Both" => (true, true, false, false),
        _ => panic!("the RFC knows no state {name}"),
    };
    Subscription::from_flags(Flags { to, from, pending_out, pending_in, approved: false, listed: true })
        .unwrap()
}

const SAME: &str = "no state change";

/// (existing state, routed or delivered?, new state), in the order in which the RFC prints the rows.
type Table = [(&'static str, bool, &'static str); 9];

fn check_outbound(kind: Kind, table: Table) {
    for (existing, route, new) in table {
        let outbound = state(existing).outbound(kind);
        let next = state(if new == SAME { existing } else { new });
        let got = outbound.next.without(APPROVED);
        assert_eq!((outbound.route, got), (route, next), "{kind:?} sent in state {existing}");
    }
}

fn check_inbound(kind: Kind, table: Table) {
    for (existing, deliver, new) in table {
        let inbound = state(existing).inbound(kind);
        let next = state(if new == SAME { existing } else { new });
        assert_eq!((inbound.deliver, inbound.next), (deliver, next), "{kind:?} received in state {existing}");
    }
}

#[test]
fn a_2_1_outbound_subscribe() {
    check_outbound(
        Kind::Subscribe,
        [
            ("None", true, "None + Pending Out"),
            ("None + Pending Out", true, SAME),
            ("None + Pending In", true, "None + Pending Out/In"),
            ("None + Pending Out/In", true, SAME),
            ("To", true, SAME),
            ("To + Pending In", true, SAME),
            ("From", true, "From + Pending Out"),
            ("From + Pending Out", true, SAME),
            ("Both", true, SAME),
        ],
    );
}

#[test]
fn a_2_2_outbound_unsubscribe() {
    check_outbound(
        Kind::Unsubscribe,
        [
            ("None", true, SAME),
            ("None + Pending Out", true, "None"),
            ("None + Pending In", true, SAME),
            ("None + Pending Out/In", true, "None + Pending In"),
            ("To", true, "None"),
            ("To + Pending In", true, "None + Pending In"),
            ("From", true, SAME),
            ("From + Pending Out", true, "From"),
            ("Both", true, "From"),
        ],
    );
}

#[test]
fn a_2_3_outbound_subscribed() {
    check_outbound(
        Kind::Subscribed,
        [
            ("None", false, SAME),
            ("None + Pending Out", false, SAME),
            ("None + Pending In", true, "From"),
            ("None + Pending Out/In", true, "From + Pending Out"),
            ("To", false, SAME),
            ("To + Pending In", true, "Both"),
            ("From", false, SAME),
            ("From + Pending Out", false, SAME),
            ("Both", false, SAME),
        ],
    );
}

#[test]
fn a_2_4_outbound_unsubscribed() {
    check_outbound(
        Kind::Unsubscribed,
        [
            ("None", false, SAME),
            ("None + Pending Out", false, SAME),
            ("None + Pending In", true, "None"),
            ("None + Pending Out/In", true, "None + Pending Out"),
            ("To", false, SAME),
            ("To + Pending In", true, "To"),
            ("From", true, "None"),
            ("From + Pending Out", true, "None + Pending Out"),
            ("Both", true, "To"),
        ],
    );
}

#[test]
fn a_3_1_inbound_subscribe() {
    check_inbound(
        Kind::Subscribe,
        [
            ("None", true, "None + Pending In"),
            ("None + Pending Out", true, "None + Pending Out/In"),
            ("None + Pending In", false, SAME),
            ("None + Pending Out/In", false, SAME),
            ("To", true, "To + Pending In"),
            ("To + Pending In", false, SAME),
            ("From", false, SAME),
            ("From + Pending Out", false, SAME),
            ("Both", false, SAME),
        ],
    );
}

#[test]
fn a_3_2_inbound_unsubscribe() {
    check_inbound(
        Kind::Unsubscribe,
        [
            ("None", false, SAME),
            ("None + Pending Out", false, SAME),
            ("None + Pending In", true, "None"),
            ("None + Pending Out/In", true, "None + Pending Out"),
            ("To", false, SAME),
            ("To + Pending In", true, "To"),
            ("From", true, "None"),
            ("From + Pending Out", true, "None + Pending Out"),
            ("Both", true, "To"),
        ],
    );
}

#[test]
fn a_3_3_inbound_subscribed() {
    check_inbound(
        Kind::Subscribed,
        [
            ("None", false, SAME),
            ("None + Pending Out", true, "To"),
            ("None + Pending In", false, SAME),
            ("None + Pending Out/In", true, "To + Pending In"),
            ("To", false, SAME),
            ("To + Pending In", false, SAME),
            ("From", false, SAME),
            ("From + Pending Out", true, "Both"),
            ("Both", false, SAME),
        ],
    );
}

#[test]
fn a_3_4_inbound_unsubscribed() {
    check_inbound(
        Kind::Unsubscribed,
        [
            ("None", false, SAME),
            ("None + Pending Out", true, "None"),
            ("None + Pending In", false, SAME),
            ("None + Pending Out/In", true, "None + Pending In"),
            ("To", true, "None"),
            ("To + Pending In", true, "None + Pending In"),
            ("From", false, SAME),
            ("From + Pending Out", true, "From"),
            ("Both", true, "From"),
        ],
    );
}

/// Every state that a document can hold.
fn every_state() -> Vec<Subscription> {
    (0..64)
        .filter_map(|bits: u8| {
            let has = |bit| bits & bit != 0;
            Subscription::from_flags(Flags {
                to: has(TO),
                from: has(FROM),
                pending_out: has(PENDING_OUT),
                pending_in: has(PENDING_IN),
                approved: has(APPROVED),
                listed: has(LISTED),
            })
        })
        .collect()
}

#[test]
fn no_stanza_leads_to_an_impossible_state() {
    for state in every_state() {
        for kind in Kind::ALL {
            assert!(state.outbound(kind).next.is_consistent(), "{state:?} sends {kind:?}");
            assert!(state.inbound(kind).next.is_consistent(), "{state:?} receives {kind:?}");
        }
    }
}

#[test]
fn nine_states_and_their_approved_and_unlisted_forms() {
    // Nine listed; approved besides wherever the contact has no subscription; two unlisted (nothing, has asked).
    assert_eq!(every_state().len(), 9 + 6 + 2);
}

#[test]
fn pre_approval_answers_the_request_by_itself() {
    let approved = Subscription::STRANGER.outbound(Kind::Subscribed);
    assert!(!approved.route && approved.next.approved() && approved.next.is_listed());
    let asked = approved.next.inbound(Kind::Subscribe);
    assert!(asked.approve && !asked.deliver);
    assert_eq!((asked.next, asked.presence), (state("From"), PresenceDue::Current));
}

#[test]
fn pre_approval_can_be_taken_back() {
    let approved = state("To").outbound(Kind::Subscribed).next;
    let withdrawn = approved.outbound(Kind::Unsubscribed);
    assert!(!withdrawn.route);
    assert_eq!(withdrawn.next, state("To"));
}

#[test]
fn a_subscriber_who_asks_again_is_answered_without_the_user() {
    for existing in ["From", "From + Pending Out", "Both"] {
        let inbound = state(existing).inbound(Kind::Subscribe);
        assert!(inbound.approve && !inbound.deliver, "{existing}");
    }
}

#[test]
fn presence_follows_the_change_of_from() {
    for state in every_state() {
        for kind in Kind::ALL {
            let outbound = state.outbound(kind);
            let inbound = state.inbound(kind);
            for (next, due) in [(outbound.next, outbound.presence), (inbound.next, inbound.presence)] {
                match (state.from(), next.from()) {
                    (false, true) => assert_eq!(due, PresenceDue::Current, "{state:?} {kind:?}"),
                    (true, false) => assert_eq!(due, PresenceDue::Unavailable, "{state:?} {kind:?}"),
                    (false, false) => assert_eq!(due, PresenceDue::Nothing, "{state:?} {kind:?}"),
                    (true, true) => assert_ne!(due, PresenceDue::Unavailable, "{state:?} {kind:?}"),
                }
            }
        }
    }
}

#[test]
fn somebody_who_only_asks_is_not_in_the_roster() {
    let asked = Subscription::STRANGER.inbound(Kind::Subscribe).next;
    assert!(asked.pending_in() && !asked.is_listed());
    assert!(!asked.looks_different(Subscription::STRANGER), "no push");
    assert!(asked.outbound(Kind::Unsubscribed).next.is_stranger(), "denied and forgotten");
    assert!(asked.outbound(Kind::Subscribed).next.is_listed());
}

#[test]
fn kinds_round_trip() {
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str().as_bytes()), Some(kind));
    }
    assert_eq!(Kind::parse(b"probe"), None);
}
