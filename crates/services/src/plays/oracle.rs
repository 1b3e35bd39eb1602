//! All ways of asking about a number, compared at once (docs/promises.md, P1 and P2): what is answered, in which order, and how
//! much work stands between the question and the last answer, which is what time can tell.
//!
//! What stanzas are answered with in every combination is `plays/strangers.rs`; what a login is, `tests/edge/oracle.rs` of
//! the server.

use super::blocking::block;
use super::*;
use crate::realm::Limits;
use crate::wire::Closed;

/// Whom the asker meets under [`TARGET`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Nobody,
    /// An account that shows strangers nothing,
    Stranger(Where),
    /// or has blocked the asker.
    Blocker(Where),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Where {
    Online,
    /// In memory, without a session.
    Resident,
    /// In the store alone.
    Away,
}

impl Who {
    const SOMEBODY: [Self; 6] = [
        Self::Stranger(Where::Online),
        Self::Stranger(Where::Resident),
        Self::Stranger(Where::Away),
        Self::Blocker(Where::Online),
        Self::Blocker(Where::Resident),
        Self::Blocker(Where::Away),
    ];
}

const TARGET: &str = JULIET;
const KNOWN: [&str; 3] = ["+15551239001", "+15551239002", "+15551239003"];
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// One way of asking, and whether its answer is one that may tell that somebody is registered.
fn questions() -> Vec<(String, bool)> {
    let bare = jid(TARGET);
    let full = format!("{bare}/phone");
    let mut all = Vec::new();
    for to in [&bare, &full] {
        for (kind, content, stored) in [
            ("chat", "<body>x</body>", true),
            ("normal", "<body>x</body>", true),
            ("chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", true),
            ("chat", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", false),
            ("headline", "<body>x</body>", false),
        ] {
            all.push((format!("<message to='{to}' type='{kind}' id='m'>{content}</message>"), stored));
        }
        for (kind, payload) in [
            ("get", "<ping xmlns='urn:xmpp:ping'/>"),
            ("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
            ("get", "<query xmlns='jabber:iq:last'/>"),
            ("get", "<vCard xmlns='vcard-temp'/>"),
            (
                "get",
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>",
            ),
            (
                "set",
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='x'><item/></publish></pubsub>",
            ),
        ] {
            all.push((format!("<iq to='{to}' type='{kind}' id='i'>{payload}</iq>"), false));
        }
        all.push((format!("<presence to='{to}'/>"), false));
        all.push((format!("<presence to='{to}' type='probe'/>"), false));
        all.push((format!("<presence to='{to}' type='subscribe'/>"), false));
    }
    all
}

fn sync() -> String {
    format!(
        "<iq type='get' to='{}' id='b'><phone-book xmlns='im.quicksy.synchronization:0'>\
         <entry number='{TARGET}'/></phone-book></iq>",
        crate::testing::DOMAIN
    )
}

/// What came of a question: the answers, in order, and after how many rounds with the store.
#[derive(Debug, PartialEq, Clone)]
struct Experience {
    heard: Vec<String>,
    rounds: usize,
}

/// A stage on which the asker is there and the target is what it is.
fn stage(who: Who, limits: Limits) -> (Stage, Client) {
    let mut stage = Stage::with_limits(1, limits);
    if let Who::Stranger(place) | Who::Blocker(place) = who {
        let (target, _) = stage.arrive(TARGET, "phone");
        if matches!(who, Who::Blocker(_)) {
            block(&mut stage, target, &[jid(ROMEO)]);
        }
        if place != Where::Online {
            stage.lose(target, Closed::Clean);
        }
        if place == Where::Away {
            stage.crash();
        }
    }
    KNOWN.iter().for_each(|known| stage.set_account(known, 1).unwrap());
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    (stage, romeo)
}

/// Asks with the store held back, and lets it answer step by step until nothing more comes. The acknowledgement that is asked
/// for with the question is an answer, too.
fn ask(stage: &mut Stage, romeo: Client, question: &str) -> Experience {
    stage.hold_store(true);
    stage.send(romeo, question);
    stage.send(romeo, REQUEST);
    let (mut heard, mut rounds) = (answers(stage, romeo), 0);
    for round in 1..=8 {
        stage.step_store();
        let more = answers(stage, romeo);
        if !more.is_empty() {
            rounds = round;
        }
        heard.extend(more);
    }
    stage.hold_store(false);
    heard.extend(answers(stage, romeo));
    Experience { heard, rounds }
}

fn answers(stage: &mut Stage, romeo: Client) -> Vec<String> {
    let mut answers = stage.received(romeo);
    answers.retain(|answer| answer != REQUEST);
    answers.iter_mut().for_each(|answer| *answer = normal(answer));
    answers
}

/// Without what the server made up at random.
fn normal(answer: &str) -> String {
    match answer.split_once(" id='push-") {
        Some((before, after)) => format!("{before} id='push{}", &after[16..]),
        None => answer.to_owned(),
    }
}

#[test]
fn no_way_of_asking_tells_more_than_whether_a_number_is_registered() {
    let told = |who: Who, question: &str| {
        let (mut stage, romeo) = stage(who, Limits::default());
        ask(&mut stage, romeo, question)
    };
    for (question, may_tell) in questions() {
        let nobody = told(Who::Nobody, &question);
        let somebody = told(Who::Stranger(Where::Away), &question);
        if !may_tell {
            assert_eq!(somebody.heard, nobody.heard, "{question}");
        }
        for who in Who::SOMEBODY {
            let experience = told(who, &question);
            assert_eq!(experience.heard, somebody.heard, "{who:?}: {question}");
            if !may_tell {
                assert_eq!(experience.rounds, nobody.rounds, "{who:?}: {question}");
            }
        }
    }
}

/// Whether an account was asked what it shows, or there is none, is a difference of microseconds: so the answer comes with the next tick,
/// for both alike.
#[test]
fn that_nobody_is_there_is_told_with_the_next_tick() {
    let question = |id: &str| {
        format!("<iq to='{}' type='get' id='{id}'><query xmlns='jabber:iq:last'/></iq>", jid(TARGET))
    };
    for who in [Who::Nobody].into_iter().chain(Who::SOMEBODY) {
        let (mut stage, romeo) = stage(who, Limits { late_refusals: 2, ..Limits::default() });
        // The second time it is known, the third is over the bound: the oldest is told.
        for (id, told) in [("1", vec![]), ("2", vec![]), ("3", vec!["1"])] {
            stage.send(romeo, &question(id));
            let heard = stage.stanzas(romeo);
            assert_eq!(heard.len(), told.len(), "{who:?}, {id}: {heard:?}");
        }
        stage.pass(1);
        let heard = stage.stanzas(romeo);
        assert_eq!(heard.len(), 2, "{who:?}: {heard:?}");
        assert!(heard[0].contains("id='2'") && heard[1].contains("id='3'"), "in order: {heard:?}");
        // What may tell that there is somebody waits for nothing.
        stage.send(romeo, &chat(TARGET, "x"));
        let heard = stage.stanzas(romeo);
        assert_eq!(heard.len(), usize::from(who == Who::Nobody), "{who:?}: {heard:?}");
    }
}

#[test]
fn contact_sync_tells_the_same_of_who_has_blocked_the_asker() {
    let told = |who| {
        let (mut stage, romeo) = stage(who, Limits::default());
        ask(&mut stage, romeo, &sync())
    };
    let nobody = told(Who::Nobody);
    let somebody = told(Who::Stranger(Where::Away));
    assert_ne!(somebody.heard, nobody.heard, "this it is for");
    for who in Who::SOMEBODY {
        assert_eq!(told(who), somebody, "{who:?}");
    }
}

/// So many numbers may be asked about.
fn few(who: Who, numbers: usize) -> (Stage, Client) {
    let (stage, romeo) = stage(who, Limits::default());
    stage.turn("contact_sync.numbers", numbers as u64);
    (stage, romeo)
}

/// Uses up a quota of as many as [`KNOWN`].
fn use_up(stage: &mut Stage, romeo: Client) {
    for known in KNOWN {
        stage.send(romeo, &chat(known, "x"));
        assert!(stage.stanzas(romeo).is_empty());
    }
}

#[test]
fn over_the_quota_nothing_tells_whether_a_number_is_registered() {
    for (question, _) in questions() {
        let told = |who| {
            let (mut stage, romeo) = few(who, KNOWN.len());
            use_up(&mut stage, romeo);
            ask(&mut stage, romeo, &question)
        };
        let nobody = told(Who::Nobody);
        let error = nobody.heard.first().unwrap();
        assert_eq!(condition(error), "resource-constraint", "{question}");
        assert_eq!(nobody.rounds, 0, "nobody has looked: {question}");
        for who in Who::SOMEBODY {
            assert_eq!(told(who), nobody, "{who:?}: {question}");
        }
    }
}

#[test]
fn both_ways_of_asking_draw_on_one_quota_that_outlives_the_server() {
    let (mut stage, romeo) = few(Who::Stranger(Where::Away), KNOWN.len());
    use_up(&mut stage, romeo);
    stage.send(romeo, &sync());
    let got = stage.stanzas(romeo);
    assert_eq!(condition(&got[0]), "resource-constraint", "{got:?}");
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    // The first is let through before the store has said that nothing is left.
    stage.send(romeo, &chat(KNOWN[0], "x"));
    stage.received(romeo);
    stage.send(romeo, &chat(TARGET, "x"));
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "resource-constraint");
    stage.pass(600_000);
    let (romeo, _) = stage.arrive(ROMEO, "street");
    stage.received(romeo);
    stage.send(romeo, &chat(TARGET, "x"));
    assert!(
        stage.stanzas(romeo).iter().all(|stanza| !stanza.starts_with("<message")),
        "one more after a while"
    );
}

#[test]
fn acquaintances_are_free() {
    let (mut stage, romeo) = few(Who::Stranger(Where::Online), KNOWN.len());
    let (nurse, _) = stage.arrive(NURSE, "hall");
    let paris = stage.login(KNOWN[0], "garden");
    stage.set_account("bot", 1).unwrap();
    super::blocking::befriend(&mut stage, (romeo, ROMEO), (nurse, NURSE));
    // The request was one of the three.
    stage.send(romeo, &chat(KNOWN[1], "x"));
    stage.send(romeo, &chat(KNOWN[2], "x"));
    stage.send(paris, &chat(ROMEO, "who are you?"));
    stage.received(romeo);
    for free in [NURSE, KNOWN[0], KNOWN[1], ROMEO, "bot"] {
        stage.send(romeo, &chat(free, "x"));
        let got = stage.stanzas(romeo);
        assert!(got.iter().all(|stanza| !stanza.contains("type='error'")), "{free}: {got:?}");
    }
    stage.send(romeo, &chat(TARGET, "x"));
    assert_eq!(condition(&stage.stanzas(romeo)[0]), "resource-constraint", "she is new to him");
    // What tells nothing costs nothing.
    for question in [
        format!("<iq to='{}/phone' type='result' id='i'/>", jid(TARGET)),
        format!("<message to='{}' type='error'><error type='cancel'/></message>", jid(TARGET)),
        format!("<presence to='{}' type='unavailable'/>", jid(TARGET)),
    ] {
        stage.send(romeo, &question);
        assert_eq!(stage.stanzas(romeo), [""; 0], "{question}");
    }
}

/// Four hundred, by turns: who is remembered to be paid for is free, though others were asked about since.
#[test]
fn who_writes_to_several_hundred_pays_for_each_once() {
    let (mut stage, romeo) = few(Who::Nobody, 500);
    let written = |stage: &mut Stage| {
        let numbers = (0..400).map(|number| format!("+1555900{number:04}"));
        numbers.for_each(|number| stage.send(romeo, &chat(&number, "x")));
        let answers = stage.stanzas(romeo);
        answers.iter().filter(|answer| condition(answer) == "resource-constraint").count()
    };
    assert_eq!([(); 3].map(|()| written(&mut stage)), [0; 3]);
}
