//! Phone books: who is found, how rosters follow, and that nobody is missed whatever happens at the same time.

mod leaving;
mod lost;
mod model;
mod together;

use super::*;
use crate::effects::turn::command::{BookChange, BookView, Refusal, RemoveAccount};
use crate::realm::Limits;
use crate::testing::{DOMAIN, account};
use chaski_xmpp::{Stanza, ns};

/// What a client's phone sends: the whole book.
fn sync_with(stage: &mut Stage, client: Client, version: &str, numbers: &[&str]) {
    let entries: String = numbers.iter().map(|number| format!("<entry number='{number}'/>")).collect();
    stage.send(
        client,
        &format!(
            "<iq type='get' id='sync' to='{DOMAIN}'><phone-book xmlns='{}' ver='{version}'>{entries}</phone-book></iq>",
            ns::QUICKSY_SYNC
        ),
    );
}

pub(super) fn sync(stage: &mut Stage, client: Client, numbers: &[&str]) {
    sync_with(stage, client, "", numbers);
}

/// What HTTPS does.
fn change(stage: &mut Stage, local: &str, change: BookChange) -> Result<BookView, Refusal> {
    stage.command(local, change).map(|view| *view)
}

fn replace(stage: &mut Stage, local: &str, numbers: &[&str]) -> Result<BookView, Refusal> {
    change(stage, local, BookChange::Replace(numbers.iter().map(|local| account(local).to_bits()).collect()))
}

/// Takes what a client has received and says it in short.
fn seen(stage: &mut Stage, client: Client) -> Vec<String> {
    stage.stanzas(client).iter().map(|stanza| say(stanza)).collect()
}

fn say(text: &str) -> String {
    let stanza = Stanza::parse(text.as_bytes()).unwrap();
    let short = |jid: &str| jid.replace(&format!("@{DOMAIN}"), "");
    if stanza.child("error", ns::CLIENT).is_some() {
        return format!("error {}", condition(text));
    }
    if let Some(query) = stanza.child("query", ns::ROSTER) {
        let item = |item: chaski_xmpp::ElementRef<'_>| {
            let name = item.attr("name").map(|name| format!(" {name}")).unwrap_or_default();
            let (jid, state) = (item.attr("jid").unwrap(), item.attr("subscription").unwrap());
            format!("{} {state}{name}", short(&jid))
        };
        return format!("items {}", query.children().map(item).collect::<Vec<_>>().join(", "));
    }
    if let Some(book) = stanza.child("phone-book", ns::QUICKSY_SYNC) {
        let entry = |entry: chaski_xmpp::ElementRef<'_>| {
            let jid = entry.children().next().unwrap().text().into_owned();
            format!("{}={}", entry.attr("number").unwrap(), short(&jid))
        };
        return format!("found {}", book.children().map(entry).collect::<Vec<_>>().join(", "));
    }
    let from = short(&stanza.from().unwrap_or_default());
    format!("{} from {from}", stanza.type_attr().map_or("available".into(), |kind| kind.into_owned()))
}

/// A client that has asked for its roster and sent initial presence; what that brought is dropped.
fn arrive(stage: &mut Stage, local: &str) -> Client {
    let client = stage.login(local, "phone");
    stage.send(client, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    stage.send(client, "<presence/>");
    stage.received(client);
    client
}

/// The roster as its owner gets it.
fn roster(stage: &mut Stage, client: Client) -> String {
    stage.received(client);
    stage.send(client, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    seen(stage, client).pop().unwrap()
}

fn is_result(stanza: &str) -> bool {
    stanza.contains("type='result'") && !stanza.contains("phone-book")
}

#[test]
fn who_is_there_is_found_and_becomes_an_item() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    arrive(&mut stage, JULIET);
    sync(&mut stage, romeo, &["(555) 123-0002", "+49 151 23456780", "no number", NURSE, ROMEO]);
    let juliet = "(555) 123-0002=+15551230002";
    assert_eq!(seen(&mut stage, romeo), [format!("found {juliet}"), format!("items {JULIET} none")]);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none"));
    assert_eq!(change(&mut stage, ROMEO, BookChange::Show).unwrap().numbers, 3, "oneself and junk left out");
}

#[test]
fn an_answer_that_is_known_is_empty() {
    let mut stage = Stage::new(1);
    let romeo = arrive(&mut stage, ROMEO);
    arrive(&mut stage, JULIET);
    sync(&mut stage, romeo, &[JULIET, NURSE]);
    let answer = stage.stanzas(romeo).remove(0);
    let stanza = Stanza::parse(answer.as_bytes()).unwrap();
    let version = stanza.child("phone-book", ns::QUICKSY_SYNC).unwrap().attr("ver").unwrap().into_owned();
    sync_with(&mut stage, romeo, &version, &[NURSE, JULIET]);
    assert!(is_result(&stage.stanzas(romeo)[0]));
    arrive(&mut stage, NURSE);
    stage.received(romeo);
    sync_with(&mut stage, romeo, &version, &[NURSE, JULIET]);
    assert_eq!(seen(&mut stage, romeo), [format!("found {JULIET}={JULIET}, {NURSE}={NURSE}")]);
}

#[test]
fn nothing_is_found_in_an_empty_book_or_in_another_form() {
    let mut stage = Stage::new(1);
    let romeo = arrive(&mut stage, ROMEO);
    sync(&mut stage, romeo, &[]);
    assert_eq!(seen(&mut stage, romeo), ["found "]);
    stage.send(
        romeo,
        &format!("<iq type='set' id='1' to='{DOMAIN}'><phone-book xmlns='{}'/></iq>", ns::QUICKSY_SYNC),
    );
    assert_eq!(seen(&mut stage, romeo), ["error bad-request"]);
}

#[test]
fn a_name_that_the_user_gives_is_kept_as_long_as_the_number() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    arrive(&mut stage, JULIET);
    sync(&mut stage, romeo, &[JULIET]);
    let item = format!("<item jid='{}' name='Love'/>", jid(JULIET));
    stage.send(romeo, &format!("<iq type='set' id='n'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none Love"));
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none Love"));
    sync(&mut stage, romeo, &[]);
    assert_eq!(roster(&mut stage, romeo), "items ");
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO);
    sync(&mut stage, romeo, &[JULIET]);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none"));
}

#[test]
fn an_item_that_the_user_removes_leaves_the_book() {
    let mut stage = Stage::new(2);
    let (romeo, juliet) = (arrive(&mut stage, ROMEO), arrive(&mut stage, JULIET));
    sync(&mut stage, romeo, &[JULIET, NURSE]);
    sync(&mut stage, juliet, &[ROMEO]);
    stage.received(romeo);
    stage.received(juliet);
    let item = format!("<item jid='{}' subscription='remove'/>", jid(JULIET));
    let remove = format!("<iq type='set' id='x'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
    stage.send(romeo, &remove);
    let told = stage.stanzas(romeo);
    assert!(told.iter().any(|stanza| say(stanza) == format!("items {JULIET} remove")), "{told:?}");
    assert!(is_result(told.last().unwrap()), "{told:?}");
    assert_eq!(change(&mut stage, ROMEO, BookChange::Show).unwrap().numbers, 1);
    let told = seen(&mut stage, juliet);
    assert!(told.contains(&format!("unavailable from {ROMEO}/phone")), "{told:?}");
    assert!(told.contains(&format!("items {ROMEO} none")), "{told:?}");
    stage.send(romeo, &remove);
    assert_eq!(seen(&mut stage, romeo), ["error item-not-found"]);
}

#[test]
fn the_quota_is_kept_across_restarts_and_refuses_without_changing_anything() {
    let mut stage = Stage::turned(2, &[("contact_sync.numbers", 4)]);
    let romeo = arrive(&mut stage, ROMEO);
    sync(&mut stage, romeo, &["+4915123456781", "+4915123456782", "+4915123456783", JULIET]);
    assert_eq!(seen(&mut stage, romeo), ["found "]);
    sync(&mut stage, romeo, &["+4915123456781", "+4915123456782", "+4915123456783", JULIET]);
    assert_eq!(seen(&mut stage, romeo), ["found "], "the same again costs nothing");
    stage.crash();
    let romeo = arrive(&mut stage, ROMEO);
    sync(&mut stage, romeo, &["+4915123456781", NURSE]);
    let refused = stage.stanzas(romeo);
    assert_eq!(say(&refused[0]), "error resource-constraint");
    assert!(refused[0].contains("again in 600 seconds"), "{refused:?}");
    assert_eq!(change(&mut stage, ROMEO, BookChange::Show).unwrap().numbers, 4);
    // Removing is free, and what was removed is new when it comes again.
    assert_eq!(replace(&mut stage, ROMEO, &[]).unwrap().numbers, 0);
    let again = replace(&mut stage, ROMEO, &[JULIET]);
    assert_eq!(again, Err(Refusal::Limited { retry_after_ms: 600_000 }));
    stage.now_ms += 600_000;
    assert_eq!(replace(&mut stage, ROMEO, &[JULIET]).unwrap().numbers, 1);
    assert!(replace(&mut stage, ROMEO, &[JULIET, NURSE]).is_err());
}

#[test]
fn a_book_has_a_size() {
    let mut stage = Stage::turned(1, &[("contact_sync.numbers", 3), ("contact_sync.refill_ms", 1)]);
    let romeo = arrive(&mut stage, ROMEO);
    let numbers = ["+4915123456781", "+4915123456782", "+4915123456783"];
    assert_eq!(replace(&mut stage, ROMEO, &numbers).unwrap().numbers, 3);
    stage.pass(1_000);
    let more = BookChange::Change { add: vec![4_915_123_456_784], remove: Vec::new() };
    assert_eq!(change(&mut stage, ROMEO, more), Err(Refusal::TooLarge));
    let other = BookChange::Change { add: vec![4_915_123_456_784], remove: vec![4_915_123_456_781] };
    assert_eq!(change(&mut stage, ROMEO, other).unwrap().numbers, 3);
    sync(&mut stage, romeo, &["1", "2", "3", "4"]);
    assert_eq!(seen(&mut stage, romeo), ["found "], "what is no number has no size");
}

#[test]
fn a_store_that_fails_is_said_and_the_next_sync_works() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    arrive(&mut stage, JULIET);
    stage.engine.fail_next(chaski_store::StoreError::Full);
    sync(&mut stage, romeo, &[JULIET]);
    assert_eq!(seen(&mut stage, romeo), ["error internal-server-error"]);
    assert_eq!(roster(&mut stage, romeo), "items ");
    sync(&mut stage, romeo, &[JULIET]);
    assert_eq!(roster(&mut stage, romeo), format!("items {JULIET} none"));
}

#[test]
fn a_client_that_is_slow_to_acknowledge_is_waited_for() {
    let mut stage = Stage::with_limits(1, Limits { queue_stanzas: 180, ..Limits::default() });
    let others: Vec<String> = (0..200).map(|last| format!("+1555124{last:04}")).collect();
    for local in &others {
        stage.set_account(local, 1).unwrap();
    }
    let (romeo, _) = stage.arrive(ROMEO, "phone");
    stage.send(romeo, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    stage.acknowledge(romeo, 0);
    stage.received(romeo);
    let numbers: Vec<&str> = others.iter().map(String::as_str).collect();
    replace(&mut stage, ROMEO, &numbers).unwrap();
    let mut pushed = 0;
    for _ in 0..10 {
        pushed += seen(&mut stage, romeo).len();
        stage.pass(5_000);
        assert_eq!(stage.closed_with(romeo), None, "after {pushed} pushes");
        assert!(pushed > 0 || stage.counted(romeo) < 180, "it has to acknowledge some first");
        stage.acknowledge(romeo, 0);
    }
    assert_eq!(pushed, 200);
}

#[test]
fn a_large_book_comes_in_slices_and_all_of_it() {
    let mut stage = Stage::new(2);
    let romeo = arrive(&mut stage, ROMEO);
    for last in 0..150 {
        stage.set_account(&format!("+1555124{last:04}"), 1).unwrap();
    }
    let numbers: Vec<String> = (0..3_000).map(|last| format!("+1555124{last:04}")).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    sync(&mut stage, romeo, &numbers);
    assert_eq!(seen(&mut stage, romeo), [""; 0], "the shard has others to serve");
    stage.pass(250);
    let told = seen(&mut stage, romeo);
    assert!(told[0].starts_with("found +15551240000=") && told[0].contains("+15551240149="), "{}", told[0]);
    assert_eq!(told.len(), 1 + 64, "a slice of pushes at a time");
    stage.pass(3_000);
    assert_eq!(told.len() + seen(&mut stage, romeo).len(), 1 + 150);
    assert_eq!(roster(&mut stage, romeo).matches(" none").count(), 150);
}
