//! What can wait, what replaces what, and that nothing else is lost. See [`super`].

use super::*;
use proptest::prelude::*;

fn what(stanza: &str) -> Option<What> {
    What::of(&Stored::of(stanza))
}

#[test]
fn what_can_wait() {
    let event = |items: &str| {
        format!(
            "<message from='a@b' type='headline'><event xmlns='{}'>{items}</event></message>",
            ns::PUBSUB_EVENT
        )
    };
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    for waits in [
        "<presence from='a@b/c'/>",
        "<presence to='x' from='a@b/c' type='unavailable'><status/></presence>",
        &format!("<message from='a@b/c' type='chat'>{state}<thread>t</thread></message>"),
        &event("<items node='n'><item id='i'><x xmlns='y'/></item></items>"),
    ] {
        assert!(what(waits).is_some(), "{waits}");
    }
    for does_not in [
        "<presence/>",
        "<presence from='a@b' type='subscribe'/>",
        "<presence from='a@b' type='error'/>",
        "<presence from='a@b' type='strange'/>",
        "<iq from='a@b' type='result' id='1'/>",
        "<message from='a@b/c'><body>x</body></message>",
        "<message from='a@b' type='headline'><body>x</body></message>",
        &format!("<message from='a@b/c' type='chat'>{state}<body>x</body></message>"),
        &format!(
            "<message from='a@b/c' type='chat'>{state}<received xmlns='urn:xmpp:receipts' id='1'/></message>"
        ),
        &event("<items node='n'><retract id='i'/></items>"),
        &event("<items node='n'><item id='i'/><item id='j'/></items>"),
        &event("<items node='n'><item/></items>"),
        &event("<purge node='n'/>"),
        &event("<items node='n'><item id='i'/></items><purge node='n'/>"),
        "<message",
    ] {
        assert_eq!(what(does_not), None, "{does_not}");
    }
}

#[test]
fn a_resource_is_not_taken_for_another() {
    let held = |from: &str| what(&format!("<presence from='{from}'/>")).unwrap();
    assert_eq!(held("a@b/c"), held("a@b/c"));
    assert_eq!(held("a@b/&lt;"), held("a@b/&#60;"), "however it is written");
    assert_ne!(held("a@b/c"), held("a@b/C"));
}

fn waiting(what: What, number: usize) -> Waiting {
    let stanza = Stored::of(format!("<presence id='{number}'/>"));
    Waiting { what, stanza, droppable: false }
}

fn whats() -> impl Strategy<Value = What> {
    let from = || (0..4u8).prop_map(|n| Box::from(format!("a@b/{n}")));
    let item = || (0..2u8).prop_map(|n| Box::from(n.to_string()));
    prop_oneof![
        from().prop_map(What::Presence),
        from().prop_map(What::ChatState),
        (from(), item(), item()).prop_map(|(from, node, item)| What::Event(from, node, item)),
    ]
}

proptest! {
    #[test]
    fn what_is_left_is_the_last_of_each_in_the_order_in_which_they_came(
        input in prop::collection::vec(whats(), 0..64),
        most in 1..16usize,
        most_bytes in 200..3_000usize,
    ) {
        let mut held = Held::default();
        let mut sent: Vec<usize> = Vec::new();
        let take = |held: &mut Held, sent: &mut Vec<usize>| {
            let numbers = held.waiting.drain(..).map(|one| one.stanza.id().unwrap().parse::<usize>());
            sent.extend(numbers.map(Result::unwrap));
            held.bytes = 0;
        };
        // The numbers after which everything was sent.
        let mut full = Vec::new();
        for (number, what) in input.iter().enumerate() {
            if held.put(waiting(what.clone(), number), most, most_bytes).is_none() {
                take(&mut held, &mut sent);
                sent.push(number);
                full.push(number);
            }
            prop_assert!(held.waiting.len() <= most && held.bytes <= most_bytes);
            prop_assert_eq!(held.bytes, held.waiting.iter().map(Waiting::bytes).sum::<usize>());
        }
        take(&mut held, &mut sent);
        prop_assert!(sent.is_sorted(), "order: {:?}", sent);
        for (number, what) in input.iter().enumerate() {
            let until = full.iter().find(|full| **full >= number).map_or(input.len(), |full| *full);
            // It is left out exactly if an equal one came while it waited.
            let replaced = input.iter().enumerate().any(|(later, other)| {
                later > number && later < until && other == what
            });
            prop_assert_eq!(sent.contains(&number), !replaced, "{} of {:?}", number, &input);
        }
    }

    #[test]
    fn what_was_said_ends_what_was_being_done(input in prop::collection::vec(whats(), 0..32)) {
        let mut held = Held::default();
        for (number, what) in input.iter().enumerate() {
            held.put(waiting(what.clone(), number), 64, 1 << 20);
        }
        let before: Vec<_> = held.waiting.iter().map(|one| one.what.clone()).collect();
        held.forget_chat_state("a@b/1");
        let after: Vec<_> = held.waiting.iter().map(|one| one.what.clone()).collect();
        let gone = What::ChatState("a@b/1".into());
        let expected: Vec<_> = before.into_iter().filter(|what| *what != gone).collect();
        prop_assert_eq!(after, expected);
        prop_assert_eq!(held.bytes, held.waiting.iter().map(Waiting::bytes).sum::<usize>());
    }
}
