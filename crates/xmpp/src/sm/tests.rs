//! Counters against naive models, elements against their text.

use super::*;
use crate::error::StanzaCondition;
use crate::{Stanza, ns};
use proptest::prelude::*;

#[test]
fn what_is_not_held_is_handled_at_once() {
    let mut inbound = Inbound::new();
    assert_eq!((inbound.h(), inbound.request()), (0, Some(0)));
    inbound.received();
    inbound.received();
    assert_eq!((inbound.h(), inbound.request(), inbound.held()), (2, Some(2), 0));
}

#[test]
fn h_stops_before_the_first_that_is_held() {
    let mut inbound = Inbound::new();
    inbound.received();
    let second = inbound.received();
    inbound.hold(second);
    let third = inbound.received();
    inbound.hold(third);
    inbound.received();
    assert_eq!((inbound.h(), inbound.held()), (1, 2));
    assert_eq!(inbound.request(), None, "the answer waits");
    assert_eq!(inbound.release(third), None);
    assert_eq!(inbound.h(), 1);
    assert_eq!(inbound.release(second), Some(4));
    assert_eq!(inbound.release(second), None, "once");
    assert_eq!(inbound.held(), 0);
}

#[test]
fn an_answer_comes_as_soon_as_the_first_request_is_satisfied_and_again_for_the_last() {
    let mut inbound = Inbound::new();
    let first = inbound.received();
    inbound.hold(first);
    assert_eq!(inbound.request(), None);
    let second = inbound.received();
    inbound.hold(second);
    assert_eq!(inbound.request(), None);
    assert_eq!(inbound.release(first), Some(1));
    assert_eq!(inbound.release(second), Some(2));
    assert_eq!(inbound.request(), Some(2));
}

#[test]
fn requests_die_with_their_connection() {
    let mut inbound = Inbound::new();
    let first = inbound.received();
    inbound.hold(first);
    assert_eq!(inbound.request(), None);
    inbound.forget_requests();
    assert_eq!(inbound.release(first), None);
}

#[test]
fn what_is_sent_again_waits_for_itself_and_not_for_its_first_copy() {
    let mut inbound = Inbound::new();
    inbound.received();
    let first = inbound.received();
    inbound.hold(first);
    assert_eq!(inbound.resume(), 1, "it was not handled");
    assert_eq!((inbound.h(), inbound.held()), (1, 0));
    let again = inbound.received();
    inbound.hold(again);
    assert_ne!(first, again);
    assert_eq!(inbound.request(), None);
    assert_eq!(inbound.release(first), None, "the copy on the new connection is not durable yet");
    assert_eq!((inbound.h(), inbound.held()), (1, 1));
    assert_eq!(inbound.release(again), Some(2));
    assert_eq!(inbound.release(first), None);
    assert_eq!(inbound.h(), 2);
}

#[test]
fn a_resumption_forgets_what_is_held_and_asked() {
    let mut inbound = Inbound::new();
    let lost = [inbound.received(), inbound.received()];
    inbound.hold(lost[1]);
    assert_eq!(inbound.request(), None);
    assert_eq!(inbound.resume(), 1);
    inbound.received();
    assert_eq!(
        (inbound.h(), inbound.held()),
        (2, 0),
        "what is sent again counts, and is not held by its first copy"
    );
    assert_eq!(inbound.release(lost[1]), None, "nobody on this connection has asked");
    assert_eq!(inbound.request(), Some(2));
}

#[test]
fn only_the_newest_can_be_held() {
    let mut inbound = Inbound::new();
    let first = inbound.received();
    inbound.received();
    inbound.hold(first);
    assert_eq!(inbound.h(), 2, "it may have been said already");
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Inbound>() <= 32, "{}", size_of::<Inbound>());
    assert!(size_of::<Outbound<u64>>() <= 40, "{}", size_of::<Outbound<u64>>());
}

#[test]
fn too_high_is_refused_and_nothing_is_lost() {
    let mut outbound = Outbound::new();
    for item in 0..3 {
        outbound.sent(item, 3).unwrap();
    }
    assert_eq!(outbound.sent(3, 3), Err(Full(3)));
    assert_eq!(outbound.ack(4).unwrap_err(), TooHigh { h: 4, sent: 3 });
    assert_eq!(outbound.ack(2).unwrap().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(outbound.ack(1).unwrap_err(), TooHigh { h: 1, sent: 3 }, "backwards");
    assert_eq!(outbound.iter().copied().collect::<Vec<_>>(), [2]);
    drop(outbound.ack(3).unwrap());
    assert!(outbound.is_empty());
}

/// What is done to an inbound counter.
#[derive(Debug, Clone)]
enum Deed {
    Receive {
        hold: bool,
    },
    Release(prop::sample::Index),
    /// Of something that was held before a resumption.
    ReleaseLost(prop::sample::Index),
    Request,
    Resume,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => any::<bool>().prop_map(|hold| Deed::Receive { hold }),
        4 => any::<prop::sample::Index>().prop_map(Deed::Release),
        2 => any::<prop::sample::Index>().prop_map(Deed::ReleaseLost),
        2 => Just(Deed::Request),
        1 => Just(Deed::Resume),
    ]
}

proptest! {
    /// The model counts in 64 bits, as the peer does, and keeps everything.
    #[test]
    fn inbound_behaves_like_its_model(near_wrap in any::<bool>(), deeds in prop::collection::vec(any_deed(), 0..120)) {
        let start: u64 = if near_wrap { (1 << 32) - 20 } else { 0 };
        let mut inbound = Inbound::at(start as u32);
        let mut received = start;
        let mut held: Vec<(u64, StanzaIndex)> = Vec::new();
        let mut lost: Vec<StanzaIndex> = Vec::new();
        let mut asked: Vec<u64> = Vec::new();
        for deed in deeds {
            let said = match deed {
                Deed::Receive { hold } => {
                    received += 1;
                    let index = inbound.received();
                    if hold {
                        inbound.hold(index);
                        held.push((received, index));
                    }
                    None
                }
                Deed::Release(which) if !held.is_empty() => {
                    let (_, index) = held.remove(which.index(held.len()));
                    inbound.release(index)
                }
                Deed::ReleaseLost(which) if !lost.is_empty() => {
                    let said = inbound.release(lost.swap_remove(which.index(lost.len())));
                    prop_assert_eq!(said, None, "it is nobody's now");
                    said
                }
                Deed::Release(_) | Deed::ReleaseLost(_) => None,
                Deed::Request => {
                    asked.push(received);
                    inbound.request()
                }
                Deed::Resume => {
                    received = held.first().map_or(received, |(first, _)| first - 1);
                    lost.extend(held.drain(..).map(|(_, index)| index));
                    asked.clear();
                    prop_assert_eq!(inbound.resume(), received as u32);
                    None
                }
            };
            let h = held.first().map_or(received, |(first, _)| first - 1);
            prop_assert_eq!(inbound.h(), h as u32);
            prop_assert_eq!(inbound.held(), held.len());
            let satisfied = asked.iter().filter(|&&point| point <= h).count();
            if let Some(said) = said {
                prop_assert_eq!(said, h as u32);
            }
            prop_assert!(satisfied == 0 || said.is_some(), "a request that is satisfied is answered at once");
            prop_assert!(said.is_none() || !asked.is_empty(), "nobody asked");
            asked.drain(..satisfied);
        }
    }

    #[test]
    fn outbound_behaves_like_its_model(near_wrap in any::<bool>(), deeds in prop::collection::vec((0u32..8, 0u64..12), 0..80)) {
        let start: u64 = if near_wrap { (1 << 32) - 20 } else { 0 };
        let mut outbound = Outbound::at(start as u32);
        let (mut sent, mut acked) = (start, start);
        for (send, ack) in deeds {
            for _ in 0..send {
                sent += 1;
                outbound.sent(sent, usize::MAX).unwrap();
            }
            let h = acked + ack;
            match outbound.ack(h as u32) {
                Ok(drain) => {
                    prop_assert!(h <= sent);
                    prop_assert_eq!(drain.len() as u64, ack);
                    // Sometimes the iterator is dropped half way.
                    let taken: Vec<u64> = drain.take(5).collect();
                    prop_assert_eq!(taken, (acked + 1..=h).take(5).collect::<Vec<_>>());
                    acked = h;
                }
                Err(TooHigh { sent: count, .. }) => {
                    prop_assert!(h > sent);
                    prop_assert_eq!(count, sent as u32);
                }
            }
            prop_assert_eq!(outbound.iter().copied().collect::<Vec<_>>(), (acked + 1..=sent).collect::<Vec<_>>());
            prop_assert_eq!((outbound.acked(), outbound.sent_count()), (acked as u32, sent as u32));
        }
    }
}

fn parse(text: &[u8]) -> Option<Result<Nonza<'static>, Malformed>> {
    let stanza = Stanza::parse(text).unwrap();
    let own = |result: Result<Nonza<'_>, Malformed>| {
        result.map(|nonza| match nonza {
            Nonza::Resume { previd, h } => Nonza::Resume { previd: previd.into_owned().into(), h },
            Nonza::Resumed { previd, h } => Nonza::Resumed { previd: previd.into_owned().into(), h },
            Nonza::Enabled { id, resume, max } => {
                Nonza::Enabled { id: id.map(|id| id.into_owned().into()), resume, max }
            }
            Nonza::Enable { resume, max } => Nonza::Enable { resume, max },
            Nonza::Request => Nonza::Request,
            Nonza::Ack { h } => Nonza::Ack { h },
            Nonza::Failed { h } => Nonza::Failed { h },
        })
    };
    Nonza::parse(&stanza.root()).map(own)
}

#[test]
fn what_is_written_is_read() {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        parse(&out).unwrap().unwrap()
    };
    assert_eq!(written(&|out| write_ack(out, u32::MAX)), Nonza::Ack { h: u32::MAX });
    assert_eq!(written(&write_request), Nonza::Request);
    assert_eq!(written(&|out| write_enable(out, true)), Nonza::Enable { resume: true, max: None });
    assert_eq!(written(&|out| write_enable(out, false)), Nonza::Enable { resume: false, max: None });
    let enabled = Nonza::Enabled { id: Some("a<b".into()), resume: true, max: Some(300) };
    assert_eq!(written(&|out| write_enabled(out, Some(("a<b", 300)))), enabled);
    let plain = Nonza::Enabled { id: None, resume: false, max: None };
    assert_eq!(written(&|out| write_enabled(out, None)), plain);
    assert_eq!(written(&|out| write_resume(out, "a'b", 7)), Nonza::Resume { previd: "a'b".into(), h: 7 });
    assert_eq!(written(&|out| write_resumed(out, "x", 0)), Nonza::Resumed { previd: "x".into(), h: 0 });
    let failed = |h| move |out: &mut Vec<u8>| write_failed(out, StanzaCondition::ItemNotFound, h);
    assert_eq!(written(&failed(Some(3))), Nonza::Failed { h: Some(3) });
    assert_eq!(written(&failed(None)), Nonza::Failed { h: None });
}

/// What is read without being parsed is what parsing it would have told, and all else is left to that.
#[test]
fn plain_words_are_read_as_they_are_parsed() {
    for (text, is_plain) in [
        ("<r xmlns='urn:xmpp:sm:3'/>", true),
        ("<r xmlns=\"urn:xmpp:sm:3\" />", true),
        ("<a xmlns='urn:xmpp:sm:3' h='5'/>", true),
        ("<a h=\"4294967295\" xmlns='urn:xmpp:sm:3'/>", true),
        ("<a h='5' xmlns=\"urn:xmpp:sm:3\" />", true),
        ("<a xmlns='urn:xmpp:sm:3' h='4294967296'/>", false),
        ("<a xmlns='urn:xmpp:sm:3' h=''/>", false),
        ("<a xmlns='urn:xmpp:sm:3' h='&#53;'/>", false),
        ("<a xmlns='urn:xmpp:sm:3' h='+5'/>", false),
        ("<a xmlns='urn:xmpp:sm:3'/>", false),
        ("<r xmlns='urn:xmpp:sm:3' h='5'/>", false),
        ("<r xmlns='urn:xmpp:sm:3' x='5'/>", false),
        ("<r xmlns='urn:xmpp:sm:2'/>", false),
        ("<r xmlns='urn:xmpp:sm:3'></r>", false),
        ("<a  xmlns='urn:xmpp:sm:3' h='5'/>", false),
        ("<active xmlns='urn:xmpp:csi:0'/>", false),
    ] {
        let read = Nonza::parse_plain(text.as_bytes());
        assert_eq!(read.is_some(), is_plain, "{text}");
        if let Some(read) = read {
            assert_eq!(Some(Ok(read)), parse(text.as_bytes()), "{text}");
        }
    }
    for broken in [
        "<r xmlns='urn:xmpp:sm:3'/",
        "<r xmlns='urn:xmpp:sm:3'h='1'/>",
        "<a xmlns='urn:xmpp:sm:3' h='1' h='1'/>",
        "<a xmlns='urn:xmpp:sm:3' xmlns='urn:xmpp:sm:3' h='1'/>",
        "<a h='1'xmlns='urn:xmpp:sm:3'/>",
        "<a h='1' xmlns='urn:xmpp:sm:3\"/>",
        "<a />",
        "<r >",
        "",
    ] {
        assert_eq!(Nonza::parse_plain(broken.as_bytes()), None, "{broken}");
    }
}

proptest! {
    #[test]
    fn nothing_is_read_plainly_that_is_no_element(text in "<[ar] ([xmlnsh=' /\">:0-9]|urn:xmpp:sm:3|xmlns='urn:xmpp:sm:3'|h='1'){0,6}") {
        if let Some(read) = Nonza::parse_plain(text.as_bytes()) {
            prop_assert_eq!(Some(Ok(read)), parse(text.as_bytes()));
        }
    }
}

#[test]
fn malformed_elements_are_told_apart() {
    let sm = |text: &str| parse(text.replacen(' ', " xmlns='urn:xmpp:sm:3' ", 1).as_bytes());
    for bad in [
        "<a />",
        "<a h='-1'/>",
        "<a h='+1'/>",
        "<a h=''/>",
        "<a h='4294967296'/>",
        "<resume h='1'/>",
        "<resume previd='' h='1'/>",
        "<resume previd='x'/>",
        "<enable resume='yes'/>",
        "<other />",
    ] {
        assert_eq!(sm(bad), Some(Err(Malformed)), "{bad}");
    }
    assert_eq!(sm("<a h='4294967295'/>"), Some(Ok(Nonza::Ack { h: u32::MAX })));
    assert_eq!(
        sm("<enable resume='1' max='600'/>"),
        Some(Ok(Nonza::Enable { resume: true, max: Some(600) }))
    );
    assert_eq!(sm("<enable resume='true' max='soon'/>"), Some(Ok(Nonza::Enable { resume: true, max: None })));
    assert_eq!(parse(b"<a xmlns='urn:xmpp:sm:2' h='1'/>"), None);
    let long = format!("<resume previd='{}' h='1'/>", "x".repeat(257));
    assert_eq!(sm(&long), Some(Err(Malformed)));
}

#[test]
fn the_too_high_error_names_both_counts() {
    for standalone in [false, true] {
        let mut out = Vec::new();
        too_high_error(&mut out, 10, 8, standalone);
        let error = Stanza::parse(&out).unwrap();
        assert!(error.has_child("undefined-condition", ns::STREAM_ERRORS));
        let detail = error.child("handled-count-too-high", ns::SM).unwrap();
        assert_eq!(
            (detail.attr("h").as_deref(), detail.attr("send-count").as_deref()),
            (Some("10"), Some("8"))
        );
    }
}
