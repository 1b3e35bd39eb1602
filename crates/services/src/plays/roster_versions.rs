//! A client that has an older version of the roster is sent what has changed since (RFC 6121 §2.6.3).

use super::*;

fn roster(stage: &mut Stage, client: Client, version: &str) -> Vec<String> {
    stage.send(
        client,
        &format!("<iq type='get' id='r1'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"),
    );
    stage.stanzas(client)
}

fn set(stage: &mut Stage, client: Client, number: u64, name: &str) {
    let jid = jid(&format!("+1555999{number:04}"));
    let item = format!("<item jid='{jid}' name='{name}'/>");
    stage
        .send(client, &format!("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'>{item}</query></iq>"));
    stage.received(client);
}

fn version(stanza: &str) -> String {
    stanza.split_once(" ver='").unwrap().1.split('\'').next().unwrap().to_owned()
}

#[test]
fn who_has_an_older_version_is_sent_what_has_changed_since() {
    let mut stage = Stage::new(2);
    let (laptop, _) = stage.arrive(JULIET, "laptop");
    (0..10).for_each(|number| set(&mut stage, laptop, number, "a"));
    let phone = stage.login(JULIET, "phone");
    let all = roster(&mut stage, phone, "").remove(0);
    let old = version(&all);
    stage.lose(phone, crate::wire::Closed::Clean);
    set(&mut stage, laptop, 3, "b");
    set(&mut stage, laptop, 10, "new");

    let phone = stage.login(JULIET, "phone");
    let told = roster(&mut stage, phone, &old);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].contains("type='result'") && !told[0].contains("<query"),
        "nothing but: it goes on: {told:?}"
    );
    assert!(told[1].contains("+15559990003@") && told[1].contains("name='b'"), "{told:?}");
    assert!(told[2].contains("+15559990010@") && told[2].contains("name='new'"), "{told:?}");
    // Whoever is interrupted in between has nothing new, and asks for the same again.
    assert_eq!(version(&told[1]), old);
    let current = version(&told[2]);
    assert_eq!(roster(&mut stage, phone, &current).len(), 1, "it has all");
    let whole = roster(&mut stage, phone, "").remove(0);
    assert_eq!(version(&whole), current);
}

#[test]
fn what_was_removed_is_told_and_what_nobody_remembers_is_sent_as_a_whole() {
    let mut stage = Stage::new(1);
    let (laptop, _) = stage.arrive(JULIET, "laptop");
    (0..10).for_each(|number| set(&mut stage, laptop, number, "a"));
    let old = version(&roster(&mut stage, laptop, "")[0]);
    let remove = format!("<item jid='{}' subscription='remove'/>", jid("+15559990004"));
    stage.send(
        laptop,
        &format!("<iq type='set' id='s1'><query xmlns='jabber:iq:roster'>{remove}</query></iq>"),
    );
    stage.received(laptop);
    let told = roster(&mut stage, laptop, &old);
    assert!(told.len() == 2 && told[1].contains("subscription='remove'"), "{told:?}");
    stage.crash();
    let laptop = stage.login(JULIET, "laptop");
    let told = roster(&mut stage, laptop, &old);
    assert!(told.len() == 1 && told[0].matches("<item ").count() == 9, "{told:?}");
}
