//! Private data: kept for its owner, by name and namespace, and for nobody else.

use super::*;
use crate::testing::Stage;

fn query(stage: &mut Stage, client: Client, kind: &str, to: &str, inner: &str) -> String {
    stage.send(
        client,
        &format!("<iq type='{kind}' id='q'{to}><query xmlns='jabber:iq:private'>{inner}</query></iq>"),
    );
    stage.stanzas(client).remove(0)
}

#[test]
fn what_is_kept_comes_back() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    let empty = "<storage xmlns='storage:bookmarks'/>";
    assert!(
        query(&mut stage, romeo, "get", "", empty)
            .contains(&format!("<query xmlns='jabber:iq:private'>{empty}</query>"))
    );
    let long = format!("<storage xmlns='storage:rosternotes'>{}</storage>", "n".repeat(5_000));
    let short = "<roster xmlns='roster:delimiter'>::</roster>";
    for inner in [&long, short] {
        assert!(query(&mut stage, romeo, "set", "", inner).contains("type='result'"));
    }
    stage.crash();
    let romeo = stage.login(ROMEO, "orchard");
    assert!(query(&mut stage, romeo, "get", "", "<storage xmlns='storage:rosternotes'/>").contains(&long));
    let both = query(
        &mut stage,
        romeo,
        "get",
        "",
        "<storage xmlns='storage:rosternotes'/><roster xmlns='roster:delimiter'/>",
    );
    assert!(both.contains(&long) && both.contains(short), "{both}");
}

#[test]
fn nobody_else_gets_anything() {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    query(&mut stage, romeo, "set", "", "<a xmlns='urn:secret'>secret</a>");
    for local in [ROMEO, "+15559999999"] {
        let got =
            query(&mut stage, juliet, "get", &format!(" to='{}'", jid(local)), "<a xmlns='urn:secret'/>");
        assert_eq!(condition(&got), "service-unavailable");
    }
}

#[test]
fn bounded_without_forgetting() {
    let mut stage = Stage::new(1);
    let romeo = stage.login(ROMEO, "orchard");
    for number in 0..64 {
        let got = query(&mut stage, romeo, "set", "", &format!("<a xmlns='urn:{number}'>x</a>"));
        assert!(got.contains("type='result'"), "{got}");
    }
    let got = query(&mut stage, romeo, "set", "", "<a xmlns='urn:more'>x</a>");
    assert_eq!(condition(&got), "resource-constraint");
    assert!(query(&mut stage, romeo, "set", "", "<a xmlns='urn:0'>y</a>").contains("type='result'"));
    assert!(query(&mut stage, romeo, "get", "", "<a xmlns='urn:1'/>").contains(">x<"));
    for bad in ["", "<a/>", "<a xmlns=''/>"] {
        assert!(query(&mut stage, romeo, "set", "", bad).contains("type='error'"), "{bad}");
    }
}

#[test]
fn bookmarks_of_both_kinds_are_one_list() {
    let mut stage = Stage::new(1);
    let old = stage.login(ROMEO, "old");
    let new = stage.login(ROMEO, "new");
    super::interests::announce(&mut stage, new, &["urn:xmpp:bookmarks:1"]);
    let long = "n".repeat(2_000);
    let room = |jid: &str, name: &str| {
        format!("<conference jid='{jid}' name='{name}' autojoin='true'><nick>r</nick></conference>")
    };
    let storage = |inner: &str| format!("<storage xmlns='storage:bookmarks'>{inner}</storage>");
    let set = storage(&(room("a@rooms.example", "A") + &room("b@rooms.example", &long) + "<url url='u'/>"));
    assert!(query(&mut stage, old, "set", "", &set).contains("type='result'"));
    let told = stage.stanzas(new);
    assert_eq!(told.iter().filter(|stanza| stanza.contains("pubsub#event")).count(), 2, "{told:?}");
    let got = query(&mut stage, old, "get", "", &storage(""));
    for part in [room("a@rooms.example", "A"), room("b@rooms.example", &long), "<url ".into()] {
        assert!(got.contains(&part), "{part} in {got}");
    }
    // The new kind's retraction is the old kind's absence, and the other way round.
    let retract = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><retract node='urn:xmpp:bookmarks:1'><item id='b@rooms.example'/></retract></pubsub>";
    stage.send(new, &format!("<iq type='set' id='r'>{retract}</iq>"));
    let got = query(&mut stage, old, "get", "", &storage(""));
    assert!(got.contains("a@rooms") && !got.contains("b@rooms"), "{got}");
    stage.stanzas(new);
    query(&mut stage, old, "set", "", &storage(""));
    let told = stage.stanzas(new);
    assert!(told[0].contains("<retract id='a@rooms.example'/>"), "{told:?}");
    let most: String = (0..257).map(|number| room(&format!("{number}@rooms.example"), "x")).collect();
    assert_eq!(condition(&query(&mut stage, old, "set", "", &storage(&most))), "resource-constraint");
}
