//! What is for strangers and no message: nobody is looked for in the turn in which it has come, and its order is kept all the same
//! (docs/promises.md, P1 and M3).

use super::blocking::block;
use super::*;
use crate::effects::turn::command::RemoveAccount;
use crate::realm::Limits;
use crate::wire::Closed;

const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn stage(waiting: usize) -> Stage {
    Stage::with_limits(1, Limits { strangers_waiting: waiting, ..Limits::default() })
}

fn questions() -> [String; 7] {
    let to = jid(JULIET);
    [
        format!("<message to='{to}' type='headline'><body>x</body></message>"),
        format!(
            "<message to='{to}/phone' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>"
        ),
        format!("<presence to='{to}'/>"),
        format!("<presence to='{to}' type='probe'/>"),
        format!("<presence to='{to}' type='subscribe'/>"),
        format!("<iq to='{to}/phone' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"),
        format!("<iq to='{to}/phone' type='result' id='1'/>"),
    ]
}

/// What is done in the turn of a question, in units of work, and the accounts that are being looked for then.
fn work(question: &str, prepare: impl FnOnce(&mut Stage)) -> (u32, i64, usize) {
    let mut stage = stage(64);
    prepare(&mut stage);
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    stage.hold_store(true);
    stage.call(0, |room, _| room.owner.desk.work = 0);
    stage.send(romeo, question);
    stage.send(romeo, REQUEST);
    let heard = stage.received(romeo);
    assert!(heard.iter().any(|it| it.starts_with("<a ")), "{question}: {heard:?}");
    let (work, loading) =
        stage.call(0, |room, _| (room.owner.desk.work, room.owner.desk.metrics.accounts_loading.get()));
    (work, loading, heard.len())
}

#[test]
fn in_its_turn_it_is_as_much_work_whoever_it_is_for() {
    for question in questions() {
        let nobody = work(&question, |_| {});
        assert_eq!(nobody.1, 0, "nobody is looked for: {question}");
        let online = work(&question, |stage| _ = stage.arrive(JULIET, "phone"));
        let resident = work(&question, |stage| {
            let (juliet, _) = stage.arrive(JULIET, "phone");
            stage.lose(juliet, Closed::Clean);
        });
        let blocker = work(&question, |stage| {
            let (juliet, _) = stage.arrive(JULIET, "phone");
            block(stage, juliet, &[jid(ROMEO)]);
        });
        assert_eq!([online, resident, blocker], [nobody; 3], "{question}");
    }
}

#[test]
fn with_the_tick_it_comes_and_to_contacts_at_once() {
    let mut stage = stage(64);
    let (juliet, _) = stage.arrive(JULIET, "phone");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(juliet);
    let headline = &questions()[0];
    stage.send(romeo, headline);
    assert!(stage.stanzas(juliet).is_empty());
    stage.pass(1);
    assert_eq!(stage.stanzas(juliet).len(), 1);
    stage.send(juliet, &chat(ROMEO, "who are you?"));
    stage.send(romeo, headline);
    assert_eq!(stage.stanzas(juliet).len(), 1, "she has written: she is no stranger");
}

#[test]
fn a_message_does_not_pass_what_was_sent_before_it() {
    let mut stage = stage(64);
    let (juliet, _) = stage.arrive(JULIET, "phone");
    let (nurse, _) = stage.arrive(NURSE, "hall");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(juliet);
    stage.received(nurse);
    let headline = |to: &str, body: &str| {
        format!("<message to='{}' type='headline'><body>{body}</body></message>", jid(to))
    };
    stage.send(romeo, &headline(NURSE, "aside"));
    stage.send(romeo, &headline(JULIET, "first"));
    stage.send(romeo, &chat(JULIET, "second"));
    let heard = stage.stanzas(juliet);
    assert!(heard.len() == 2 && heard[0].contains("first") && heard[1].contains("second"), "{heard:?}");
    assert!(stage.stanzas(nurse).is_empty(), "what is for others goes on waiting");
    stage.pass(1);
    assert_eq!(stage.stanzas(nurse).len(), 1);
}

#[test]
fn an_end_does_not_pass_a_beginning() {
    for becomes_contact in [false, true] {
        let mut stage = stage(64);
        let (juliet, _) = stage.arrive(JULIET, "phone");
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        stage.send(romeo, "<presence/>");
        stage.received(juliet);
        stage.send(romeo, &format!("<presence to='{}'><status>here</status></presence>", jid(JULIET)));
        if becomes_contact {
            // His still waits when they have become contacts.
            stage.send(juliet, &format!("<presence type='subscribe' to='{}'/>", jid(ROMEO)));
            assert!(stage.stanzas(romeo).iter().any(|it| it.contains("type='subscribe'")));
            assert_eq!(stage.stanzas(juliet), [""; 0]);
            stage.send(romeo, &format!("<presence type='subscribed' to='{}'/>", jid(JULIET)));
            stage.step_store();
        }
        stage.send(romeo, "<presence type='unavailable'/>");
        stage.pass(1);
        let heard = stage.stanzas(juliet);
        let presence: Vec<_> = heard.iter().filter(|it| it.starts_with("<presence")).collect();
        assert!(presence.iter().any(|it| it.contains("here")), "{heard:?}");
        assert!(presence.last().is_some_and(|it| it.contains("type='unavailable'")), "{heard:?}");
    }
}

#[test]
fn a_sender_has_few_waiting_and_the_rest_is_refused_without_a_look() {
    let refused = |prepare: fn(&mut Stage)| {
        let mut stage = stage(8);
        prepare(&mut stage);
        let (romeo, _) = stage.arrive(ROMEO, "orchard");
        stage.received(romeo);
        (0..20).for_each(|_| stage.send(romeo, &questions()[5]));
        let heard = stage.stanzas(romeo);
        assert!(heard.iter().all(|it| it.contains("resource-constraint")), "{heard:?}");
        (0..20).for_each(|_| stage.send(romeo, &questions()[0]));
        assert_eq!(stage.call(0, |room, _| room.owner.desk.strangers.level().0), 8);
        heard.len()
    };
    assert_eq!(refused(|_| {}), 12);
    assert_eq!(refused(|stage| _ = stage.arrive(JULIET, "phone")), 12);
}

#[test]
fn of_who_is_removed_nothing_comes_but_the_end() {
    let mut stage = stage(64);
    let (juliet, _) = stage.arrive(JULIET, "phone");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.send(romeo, &format!("<presence to='{}'><status>here</status></presence>", jid(JULIET)));
    stage.pass(1);
    stage.received(juliet);
    stage.send(romeo, &questions()[0]);
    assert!(stage.command(ROMEO, RemoveAccount).is_ok());
    stage.pass(1);
    let heard = stage.stanzas(juliet);
    assert!(heard.len() == 1 && heard[0].contains("unavailable"), "{heard:?}");
    assert_eq!(stage.call(0, |room, _| room.owner.desk.strangers.level()), (0, 0));
}
