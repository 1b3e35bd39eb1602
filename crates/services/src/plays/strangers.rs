//! A stranger tries a number: whether somebody who does not know him is there, or has blocked him, he must not be able to tell;
//! nor whether it is nobody's, but by messages.
//!
//! Everything that a client can send is sent to each, and the answers are compared byte by byte, acknowledgements (XEP-0198)
//! and roster included. The one difference that can't be avoided: a message to somebody who exists is accepted, because
//! strangers may write to each other. It is compared, too: with what the same message gets from everybody who exists, those who
//! have blocked him included.

use super::blocking::block;
use super::*;
use crate::wire::Closed;

const TARGET: &str = JULIET;

/// Whom the stranger meets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Nobody,
    Stranger { online: bool },
    Blocker { online: bool },
}

impl Who {
    const ALL: [Self; 5] = [
        Self::Nobody,
        Self::Stranger { online: true },
        Self::Stranger { online: false },
        Self::Blocker { online: true },
        Self::Blocker { online: false },
    ];
}

const PAYLOADS: [&str; 16] = [
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<query xmlns='jabber:iq:roster'/>",
    "<query xmlns='jabber:iq:version'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<vCard xmlns='vcard-temp'/>",
    "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'/>",
    "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='x' jid='+15551230001@chaski.example'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='x'><item/></publish></pubsub>",
    "<command xmlns='http://jabber.org/protocol/commands' node='ping'/>",
    "<blocklist xmlns='urn:xmpp:blocking'/>",
];

/// Contents of messages, and whether they are stored.
const CONTENTS: [(&str, &str, bool); 11] = [
    ("chat", "<body>x</body>", true),
    ("normal", "<body>x</body>", true),
    ("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", true),
    ("chat", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", true),
    ("normal", "<x xmlns='jabber:x:conference' jid='r@rooms.chaski.example'/>", true),
    ("chat", "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", true),
    ("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", false),
    ("chat", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", false),
    ("headline", "<body>x</body>", false),
    ("error", "<error type='cancel'/>", false),
    ("groupchat", "<body>x</body>", false),
];

/// Each stanza, and whether it is one that somebody who exists may accept.
fn stanzas() -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for to in ["", "/phone", "/nowhere"].map(|resource| format!("{}{resource}", jid(TARGET))) {
        for (kind, content, stored) in CONTENTS {
            all.push((format!("<message to='{to}' type='{kind}' id='m'>{content}</message>"), stored));
        }
        for payload in PAYLOADS {
            for kind in ["get", "set", "result"] {
                all.push((format!("<iq to='{to}' type='{kind}' id='i'>{payload}</iq>"), false));
            }
        }
        all.push((format!("<iq to='{to}' type='error' id='i'><error type='cancel'/></iq>"), false));
        for kind in [
            "probe",
            "subscribe",
            "probe",
            "subscribed",
            "unsubscribe",
            "unsubscribed",
            "unavailable",
            "error",
        ] {
            all.push((format!("<presence to='{to}' type='{kind}'/>"), false));
        }
        all.push((format!("<presence to='{to}'/>"), false));
    }
    all
}

/// What the stranger hears after each stanza, of whatever happened before.
fn experience(shards: u16, who: Who, stanzas: &[(String, bool)]) -> Vec<(String, bool, Vec<String>)> {
    let mut stage = Stage::new(shards);
    if who != Who::Nobody {
        let (target, _) = stage.arrive(TARGET, "phone");
        let (blocks, online) = match who {
            Who::Nobody => (false, false),
            Who::Stranger { online } => (false, online),
            Who::Blocker { online } => (true, online),
        };
        if blocks {
            block(&mut stage, target, &[jid(ROMEO)]);
        }
        if !online {
            stage.lose(target, Closed::Clean);
        }
    }
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    let mut heard = Vec::new();
    for (stanza, stored) in stanzas {
        stage.send(romeo, stanza);
        stage.send(romeo, "<r xmlns='urn:xmpp:sm:3'/>");
        let mut answers = stage.received(romeo);
        // When the server asks for an acknowledgement follows from how much it has sent.
        answers.retain(|answer| answer != "<r xmlns='urn:xmpp:sm:3'/>");
        answers.iter_mut().for_each(|answer| *answer = normal(answer));
        if shards > 1 {
            answers.sort_unstable();
        }
        heard.push((stanza.clone(), *stored, answers));
    }
    heard.push(("roster".into(), false, roster(&mut stage, romeo)));
    stage.lose(romeo, Closed::Clean);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    heard.push(("back again".into(), false, stage.stanzas(romeo)));
    heard.push(("roster again".into(), false, roster(&mut stage, romeo)));
    heard
}

fn roster(stage: &mut Stage, client: Client) -> Vec<String> {
    stage.send(client, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    stage.stanzas(client)
}

/// Without what the server made up at random.
fn normal(answer: &str) -> String {
    match answer.split_once(" id='push-") {
        Some((before, after)) => format!("{before} id='push{}", &after[16..]),
        None => answer.to_owned(),
    }
}

/// Fails if the stranger can tell one from the other.
fn compare(shards: u16, stanzas: &[(String, bool)]) {
    let nobody = experience(shards, Who::Nobody, stanzas);
    let away = experience(shards, Who::Stranger { online: false }, stanzas);
    for who in Who::ALL {
        let heard = experience(shards, who, stanzas).into_iter();
        for (((stanza, stored, answers), (_, _, nobody)), (_, _, away)) in heard.zip(&nobody).zip(&away) {
            let expected = if stored && who != Who::Nobody { away } else { nobody };
            assert_eq!(answers, *expected, "{who:?}: {stanza}");
        }
    }
    let told = away.iter().filter(|(_, stored, _)| *stored).flat_map(|(_, _, answers)| answers);
    assert!(told.into_iter().all(|answer| !answer.starts_with("<message")), "accepted");
}

#[test]
fn nobody_a_stranger_and_who_has_blocked_him_are_the_same() {
    compare(1, &stanzas());
    compare(2, &stanzas());
}

#[test]
fn whether_a_stranger_is_there_does_not_show() {
    for shards in [1, 2] {
        let here = experience(shards, Who::Stranger { online: true }, &stanzas());
        let away = experience(shards, Who::Stranger { online: false }, &stanzas());
        for ((stanza, _, here), (_, _, away)) in here.into_iter().zip(away) {
            assert_eq!(here, away, "{stanza}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn nor_does_any_order_of_them_tell(
        chosen in proptest::collection::vec(proptest::prelude::any::<proptest::sample::Index>(), 1..16),
        shards in 1_u16..3,
    ) {
        let all = stanzas();
        let some: Vec<_> = chosen.iter().map(|index| index.get(&all).clone()).collect();
        compare(shards, &some);
    }
}
