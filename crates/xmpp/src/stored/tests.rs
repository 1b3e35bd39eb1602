//! Tests of the stored form: what is written is what is read, for each recipient, and bytes of all sorts do no harm.

use super::*;
use crate::rewrite::Attr;
use crate::{ElementRef, JidRef, ns};
use proptest::prelude::*;

const MESSAGE: &str = "<message xmlns='jabber:client' type='chat' to='b@d' id=\"it's\"><body>a &amp; b</body>\
                       <active xmlns='http://jabber.org/protocol/chatstates'/></message>";

fn text(stored: &Stored) -> String {
    String::from_utf8(stored.whole().into_owned()).unwrap()
}

fn stored(text: &str, from: &str) -> Stored {
    let stanza = Stanza::parse(text.as_bytes()).unwrap();
    let change = Rewrite { from: Attr::Set(from), to: Attr::Drop, ..Rewrite::default() };
    Stored::rewritten(&stanza, Facts::of(&stanza), &change, &mut Vec::new())
}

fn for_bob(body: &Stored) -> Stored {
    body.addressed("b@d/o'neil", Some(("b@d", 7)), &mut Vec::new())
}

#[test]
fn one_body_is_written_for_each_recipient_with_his_own_head() {
    let body = stored(MESSAGE, "a@d/<x>");
    let whole = "<message from='a@d/&lt;x&gt;' id=\"it's\" type='chat' to='b@d/o&apos;neil'>\
                 <stanza-id xmlns='urn:xmpp:sid:0' by='b@d' id='00000000000000000000000000000007'/>\
                 <body>a &amp; b</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>";
    let bob = for_bob(&body);
    assert_eq!(text(&bob), whole);
    assert_eq!(bob.len(), whole.len());
    let carol = body.addressed("c@d", None, &mut Vec::new());
    assert!(text(&carol).contains(" to='c@d'><body>"), "{}", text(&carol));
    assert!(Arc::ptr_eq(&bob.parts().1, &carol.parts().1), "one body for both");
    let late = bob.pieces_with(b"<delay/>").concat();
    assert_eq!(String::from_utf8(late).unwrap(), whole.replace("</message>", "<delay/></message>"));
    let late = body.pieces_with(b"<delay/>").concat();
    assert_eq!(String::from_utf8(late).unwrap(), text(&body).replace("</message>", "<delay/></message>"));
}

#[test]
fn what_was_found_is_known_of_every_copy() {
    let bob = for_bob(&stored(MESSAGE, "a@d/<x>"));
    let mut bytes = Vec::new();
    bob.encode(&mut bytes);
    let (head, body) = bob.parts();
    let read_back = Stored::from_parts(Arc::default(), [&*head, &*body].concat().into()).unwrap();
    for copy in
        [bob.clone(), Stored::decode(&bytes).unwrap(), Stored::from_parts(head, body).unwrap(), read_back]
    {
        assert_eq!(copy, bob);
        assert_eq!(copy.from().as_deref(), Some("a@d/<x>"));
        assert_eq!(copy.to().as_deref(), Some("b@d/o'neil"));
        assert_eq!(copy.id().as_deref(), Some("it's"));
        assert_eq!((copy.kind(), copy.message_type()), (Kind::Message, MessageType::Chat));
        assert!(copy.has(Has::BODY) && !copy.has(Has::RECEIPT) && !copy.facts().is_bare_chat_state());
    }
}

#[test]
fn a_stanza_as_it_was_stored_before_is_read() {
    let old = text(&for_bob(&stored(MESSAGE, "a@d/x")));
    let read = Stored::from_parts(Arc::default(), old.as_bytes().into()).unwrap();
    assert_eq!(text(&read), old);
    assert_eq!((read.from().as_deref(), read.to().as_deref()), (Some("a@d/x"), Some("b@d/o'neil")));
    assert!(read.has(Has::BODY) && read.has(Has::SERVERS));
    assert_eq!(Stored::decode(b"<message>"), Err(Malformed));
}

#[test]
fn what_we_compose_is_known_by_its_start_tag() {
    let compose =
        |text: &str| Stored::composed(&mut Vec::new(), |out| out.extend_from_slice(text.as_bytes()));
    let gone = compose("<presence from='a@d/x' to='b@d' type='unavailable'></presence>");
    assert_eq!((gone.kind(), gone.presence_type()), (Kind::Presence, Some(PresenceType::Unavailable)));
    assert_eq!((gone.from().as_deref(), gone.to().as_deref()), (Some("a@d/x"), Some("b@d")));
    let result = compose("<iq id='1' type='result'><query xmlns='x'/></iq>");
    assert_eq!(
        (result.iq_type(), result.from(), result.id().as_deref()),
        (Some(IqType::Result), None, Some("1"))
    );
    let event = compose("<message><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>");
    assert!(event.has(Has::EVENT));
    // What no client could read is still of a kind.
    assert_eq!(compose("<message><").kind(), Kind::Message);
}

#[test]
fn a_value_that_lies_far_behind_is_looked_for() {
    let text = format!("<message id='{}' from='a@d' to='b@d'></message>", "i".repeat(70_000));
    let read = Stored::parse(text.as_bytes()).unwrap();
    assert_eq!((read.from().as_deref(), read.id().map(|id| id.len())), (Some("a@d"), Some(70_000)));
    assert!(!read.is_called(&"i".repeat(70_000)), "not for everybody who asks");
    let near = for_bob(&stored(MESSAGE, "a@d/x"));
    assert!(near.is_called("it's") && !near.is_called("its") && !near.is_called(""));
    assert!(!Stored::of("<message></message>").is_called(""));
}

#[test]
fn children_can_be_taken_out_and_the_recipient_stays() {
    let bob = for_bob(&stored(MESSAGE, "a@d/x"));
    let is_state = |child: &ElementRef<'_>| child.ns() == ns::CHAT_STATES;
    let less = bob.without(is_state).unwrap();
    assert_eq!(less.to(), bob.to());
    assert!(!text(&less).contains("active") && text(&less).contains("<stanza-id"), "{}", text(&less));
    assert!(!less.has(Has::CHAT_STATE) && less.has(Has::BODY));
    assert_eq!(less.without(is_state), None);
}

proptest! {
    #[test]
    fn bytes_of_all_sorts_do_no_harm(bytes: Vec<u8>, length in 0..40u16) {
        let mut framed = vec![VERSION];
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&bytes);
        for bytes in [&bytes, &framed] {
            let Ok(read) = Stored::decode(bytes) else { continue };
            let _ = (read.from(), read.to(), read.id(), read.facts(), read.len(), read.whole(), read.look_into());
            let _ = read.pieces_with(b"<delay/>");
        }
    }

    /// Damage in one place is refused, or changes what is read, and never more.
    #[test]
    fn damage_does_no_harm(at: prop::sample::Index, byte: u8) {
        let mut bytes = Vec::new();
        for_bob(&stored(MESSAGE, "a@d/x")).encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Stored::decode(&bytes) {
            let _ = (read.from(), read.to(), read.id(), read.facts(), read.len(), read.whole(), read.look_into());
            prop_assert!(std::str::from_utf8(&read.whole()).is_ok());
        }
    }

    #[test]
    fn every_address_is_read_as_it_was_given(resource in "[ -~äß☃]{1,40}") {
        let to = format!("b@d/{resource}");
        prop_assume!(JidRef::parse(&to, &mut String::new()).is_ok());
        let bob = stored(MESSAGE, &to).addressed(&to, Some(("b@d", 1)), &mut Vec::new());
        let whole = bob.whole();
        let parsed = Stanza::parse(&whole).unwrap();
        for read in [bob.to(), bob.from(), parsed.to()] {
            prop_assert_eq!(read.as_deref(), Some(to.as_str()));
        }
        prop_assert_eq!(parsed.child_count(), 3);
    }
}
