//! An account is removed: whatever crashes or fails, nothing of it is delivered, shown or inherited.

use super::blocking::block;
use super::*;
use crate::account::nodes::{ITEMS, NODES};
use crate::account::roster::document::ROSTERS;
use crate::account::settings::SETTINGS;
use crate::effects::turn::command::{BookChange, Command, Kick, Refusal, RemoveAccount, Reply};
use crate::rooms::blocking::REPORTS;
use crate::testing::{Pending, account};
use chaski_store::records::Put;
use chaski_store::{Engine, ShardIndex, StoreError, Table};
use std::sync::{Arc, Mutex};

/// Romeo has a phone book, a roster, a block list, a profile, and mail that waits.
fn furnish(stage: &mut Stage) {
    for local in [JULIET, NURSE] {
        stage.set_account(local, 1).unwrap();
    }
    let romeo = stage.login(ROMEO, "phone");
    let numbers =
        |locals: &[&str]| BookChange::Replace(locals.iter().map(|l| account(l).to_bits()).collect());
    stage.command(ROMEO, numbers(&[JULIET, NURSE])).unwrap();
    stage.command(JULIET, numbers(&[ROMEO])).unwrap();
    let item = format!("<item jid='{}' name='Love'/>", jid(JULIET));
    stage.send(romeo, &format!("<iq type='set' id='n'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    block(stage, romeo, &[jid("+15551230098")]);
    let mood = format!("<mood xmlns='urn:example:mood'>{}</mood>", "in love ".repeat(1_000));
    let publish = format!("<publish node='urn:example:mood'><item id='1'>{mood}</item></publish>");
    let pubsub = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub>");
    stage.send(romeo, &format!("<iq type='set' id='p'>{pubsub}</iq>"));
    stage.command(ROMEO, Kick { resource: None }).unwrap();
    let juliet = stage.login(JULIET, "phone");
    stage.send(juliet, &chat(ROMEO, "wherefore art thou"));
    assert_eq!(stage.waiting(ROMEO), 1);
    assert_eq!(left(stage), ["accounts", "rosters", "settings", "nodes", "items"]);
}

/// Where something of an account may be.
const EVERYWHERE: [Table; 7] = [Table::ACCOUNTS, ROSTERS, SETTINGS, NODES, ITEMS, REPORTS, Table::REMOVALS];

/// Where the store has something under Romeo's number.
fn left(stage: &Stage) -> Vec<&'static str> {
    let records = stage.engine.records();
    let tables = EVERYWHERE.into_iter().filter(|table| {
        let found = records.scan(*table, "", 1_000).unwrap();
        found.iter().any(|(key, _)| key.starts_with(ROMEO))
    });
    tables.map(Table::name).collect()
}

fn waits(stage: &Stage) -> u64 {
    let store = stage.engine.attach(ShardIndex(0), 1, Arc::new(|| {}));
    store.usage(account(ROMEO)).messages
}

fn book(stage: &mut Stage, local: &str) -> usize {
    stage.command(local, BookChange::Show).unwrap().numbers
}

/// Somebody else has got the number.
fn assert_nothing_inherited(stage: &mut Stage) {
    stage.set_account(ROMEO, 77).unwrap();
    assert_eq!(left(stage), ["accounts"]);
    assert_eq!((waits(stage), book(stage, ROMEO), book(stage, JULIET)), (0, 0, 1));
    let heir = stage.connect(ROMEO);
    stage.bind(heir, ROMEO, 77, None).unwrap();
    stage.send(heir, "<presence/>");
    stage.send(heir, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    let got = stage.stanzas(heir).concat();
    assert!(!got.contains("<message") && !got.contains("<item"), "{got}");
    let juliet = stage.login(JULIET, "phone");
    stage.send(juliet, &chat(ROMEO, "who is there?"));
    assert_eq!(heard(stage, heir), ["who is there?"]);
}

fn outcome(pending: &Pending<()>) -> Option<Result<(), Refusal>> {
    pending.lock().unwrap().take()
}

/// How many times the store has to answer for a removal, and more.
const STEPS: usize = 6;

#[test]
fn cut_short_anywhere_it_leaves_nothing_to_whoever_is_next() {
    let mut answered = 0;
    for steps in 0..STEPS {
        let mut stage = Stage::new(2);
        furnish(&mut stage);
        stage.hold_store(true);
        let removal = stage.begin_remove_account(ROMEO);
        (0..steps).for_each(|_| stage.step_store());
        answered += usize::from(outcome(&removal).is_some_and(|outcome| outcome.is_ok()));
        stage.crash();
        stage.hold_store(false);
        assert!(stage.credentials(0, ROMEO).unwrap().is_none(), "it was marked");
        assert_nothing_inherited(&mut stage);
    }
    assert!((1..STEPS).contains(&answered), "{answered} of {STEPS} were answered before the crash");
}

#[test]
fn cut_short_anywhere_it_is_finished_after_the_start() {
    for steps in 0..STEPS {
        let mut stage = Stage::new(2);
        furnish(&mut stage);
        stage.hold_store(true);
        let _removal = stage.begin_remove_account(ROMEO);
        (0..steps).for_each(|_| stage.step_store());
        stage.crash();
        stage.hold_store(false);
        stage.pass(5_000);
        assert_eq!((left(&stage), waits(&stage)), (vec![], 0), "after {steps} steps");
        assert_eq!(book(&mut stage, JULIET), 1, "what is hers stays hers");
        assert_nothing_inherited(&mut stage);
    }
}

#[test]
fn it_is_answered_when_nothing_is_left_anywhere() {
    let mut stage = Stage::new(2);
    furnish(&mut stage);
    let seen = Arc::new(Mutex::new(None));
    let (engine, told) = (stage.engine.clone(), seen.clone());
    let reply = Reply::call(move |outcome| {
        let kept = EVERYWHERE.into_iter().filter(|table| {
            let found = engine.records().scan(*table, "", 1_000).unwrap();
            found.iter().any(|(key, _)| key.starts_with(ROMEO))
        });
        let store = engine.attach(ShardIndex(0), 1, Arc::new(|| {}));
        *told.lock().unwrap() = Some((outcome.is_ok(), kept.count(), store.usage(account(ROMEO)).messages));
    });
    let command = Command::new(account(ROMEO), RemoveAccount, reply);
    stage.call(0, |room, ctx| room.command(ctx, command));
    stage.settle();
    assert_eq!(*seen.lock().unwrap(), Some((true, 0, 0)));
}

#[test]
fn what_an_older_version_left_is_nobodys() {
    for is_swept in [false, true] {
        let mut stage = Stage::new(2);
        furnish(&mut stage);
        stage.crash();
        let gone = Put { table: Table::ACCOUNTS, key: ROMEO.to_owned(), value: None };
        stage.engine.records().put_all(vec![gone]).unwrap();
        if is_swept {
            stage.pass(5_000);
            assert_eq!((left(&stage), waits(&stage)), (vec![], 0));
        }
        assert_nothing_inherited(&mut stage);
    }
}

#[test]
fn the_search_for_leftovers_leaves_everybody_else_alone() {
    let mut stage = Stage::new(2);
    furnish(&mut stage);
    stage.crash();
    let before = (left(&stage), waits(&stage));
    stage.pass(10_000);
    assert_eq!((left(&stage), waits(&stage)), before);
}

#[test]
fn refused_before_it_is_marked_it_leaves_the_account_whole() {
    let mut stage = Stage::new(2);
    furnish(&mut stage);
    stage.engine.fail_next(StoreError::Full);
    assert!(matches!(stage.command(ROMEO, RemoveAccount), Err(Refusal::Unavailable(_))));
    assert_eq!(left(&stage), ["accounts", "rosters", "settings", "nodes", "items"]);
    assert_eq!((waits(&stage), book(&mut stage, ROMEO)), (1, 2));
    let romeo = stage.login(ROMEO, "phone");
    stage.send(romeo, "<presence/>");
    assert_eq!(heard(&mut stage, romeo), ["wherefore art thou"]);
    // Its roster can still be written.
    let item = format!("<item jid='{}' name='Angelica'/>", jid(NURSE));
    stage.send(romeo, &format!("<iq type='set' id='n'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    stage.crash();
    let romeo = stage.login(ROMEO, "phone");
    stage.send(romeo, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    let roster = stage.stanzas(romeo).concat();
    assert!(roster.contains("name='Angelica'") && roster.contains("name='Love'"), "{roster}");
}

/// Romeo's account is marked, and the store refuses what comes next.
fn stuck(stage: &mut Stage) -> Pending<()> {
    furnish(stage);
    stage.hold_store(true);
    let removal = stage.begin_remove_account(ROMEO);
    stage.engine.fail_next(StoreError::Full);
    stage.hold_store(false);
    removal
}

#[test]
fn failed_after_it_is_marked_it_is_not_called_done_and_goes_on() {
    let mut stage = Stage::new(2);
    let removal = stuck(&mut stage);
    assert!(matches!(outcome(&removal), Some(Err(Refusal::Unavailable(_)))));
    let next = stage.begin_set_account(ROMEO, 5);
    let again = stage.begin_remove_account(ROMEO);
    assert!(outcome(&next).is_none() && outcome(&again).is_none(), "both wait until nothing is left");
    stage.pass(2_000);
    assert!(outcome(&next).expect("answered").is_ok());
    assert!(outcome(&again).expect("answered").is_ok(), "the new account, in the order in which they came");
    assert_eq!((left(&stage), waits(&stage)), (vec![], 0));
}

#[test]
fn who_is_being_removed_is_nobody() {
    let mut stage = Stage::new(2);
    let _removal = stuck(&mut stage);
    assert!(stage.credentials(0, ROMEO).unwrap().is_none());
    let late = stage.connect(ROMEO);
    assert!(stage.bind(late, ROMEO, 1, None).is_err());
    let juliet = stage.login(JULIET, "phone");
    stage.send(juliet, &chat(ROMEO, "art thou there?"));
    let got = stage.stanzas(juliet);
    assert_eq!(got.iter().map(|stanza| condition(stanza)).collect::<Vec<_>>(), ["service-unavailable"]);
    let ping = format!("<iq type='get' id='v' to='{}'><vCard xmlns='vcard-temp'/></iq>", jid(ROMEO));
    stage.send(juliet, &ping);
    assert_eq!(condition(&stage.stanzas(juliet).concat()), "service-unavailable");
    stage.pass(2_000);
    assert_eq!((left(&stage), waits(&stage)), (vec![], 0));
}

#[test]
fn a_session_that_waits_for_the_answer_writes_nothing_more() {
    let mut stage = Stage::new(2);
    furnish(&mut stage);
    let romeo = stage.login(ROMEO, "phone");
    stage.send(romeo, "<presence/>");
    stage.received(romeo);
    stage.hold_store(true);
    stage.send(romeo, "<iq type='set' id='u'><query xmlns='jabber:iq:register'><remove/></query></iq>");
    for step in 0..STEPS {
        if stage.closed_with(romeo).is_some() {
            break;
        }
        let item = format!("<item jid='{}' name='step {step}'/>", jid(NURSE));
        let query = format!("<query xmlns='jabber:iq:roster'>{item}</query>");
        stage.send(romeo, &format!("<iq type='set' id='n{step}'>{query}</iq>"));
        stage.step_store();
    }
    stage.hold_store(false);
    let told = stage.stanzas(romeo).concat();
    assert!(told.contains("id='u'") && told.contains("type='result'"), "{told}");
    stage.pass(2_000);
    assert_eq!((left(&stage), waits(&stage)), (vec![], 0));
}

#[test]
fn a_number_is_given_to_somebody_else_only_when_nothing_is_left() {
    let mut stage = Stage::new(2);
    furnish(&mut stage);
    stage.crash();
    let gone = Put { table: Table::ACCOUNTS, key: ROMEO.to_owned(), value: None };
    stage.engine.records().put_all(vec![gone]).unwrap();
    // The store fails to purge them: no account is made over them, and whoever waited goes on.
    stage.engine.fail_next(StoreError::Full);
    let making = stage.begin_set_account(ROMEO, 5);
    assert!(matches!(outcome(&making).expect("answered"), Err(Refusal::Unavailable(_))));
    assert_eq!(left(&stage), ["rosters", "settings", "nodes", "items"]);
    assert!(stage.credentials(0, ROMEO).unwrap().is_none());
    assert_nothing_inherited(&mut stage);
}
