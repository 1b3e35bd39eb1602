//! Avatars and vCards: one picture, however a client speaks of it, seen by who may see it.

use super::interests::{announce, befriend};
use super::*;
use crate::account::nodes::ITEMS;
use crate::account::nodes::NODES;
use crate::testing::Stage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const DATA: &str = "urn:xmpp:avatar:data";
const METADATA: &str = "urn:xmpp:avatar:metadata";

/// A picture of so many pixels a side, as far as its header goes: base64 and hash.
fn picture(side: u32) -> (String, String) {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR".to_vec();
    bytes.extend(side.to_be_bytes());
    bytes.extend(side.to_be_bytes());
    let hash = Sha1::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    (STANDARD.encode(&bytes), hash)
}

fn ask(stage: &mut Stage, client: Client, kind: &str, to: &str, child: &str) -> String {
    let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
    stage.send(client, &format!("<iq type='{kind}' id='q'{to}>{child}</iq>"));
    let got = stage.stanzas(client);
    got.iter().find(|stanza| stanza.starts_with("<iq")).expect("it is answered").clone()
}

fn publish(stage: &mut Stage, client: Client, node: &str, id: &str, payload: &str) -> String {
    let item = format!("<publish node='{node}'><item id='{id}'>{payload}</item></publish>");
    ask(stage, client, "set", "", &format!("<pubsub xmlns='{PUBSUB}'>{item}</pubsub>"))
}

fn publish_avatar(stage: &mut Stage, client: Client, side: u32) -> String {
    let (text, hash) = picture(side);
    let got = publish(stage, client, DATA, &hash, &format!("<data xmlns='{DATA}'>{text}</data>"));
    assert!(got.contains("type='result'"), "{got}");
    let info =
        format!("<metadata xmlns='{METADATA}'><info id='{hash}' bytes='24' type='image/png'/></metadata>");
    let got = publish(stage, client, METADATA, &hash, &info);
    assert!(got.contains("type='result'"), "{got}");
    hash
}

fn vcard(stage: &mut Stage, client: Client, of: &str) -> String {
    ask(stage, client, "get", &jid(of), "<vCard xmlns='vcard-temp'/>")
}

fn set_vcard(stage: &mut Stage, client: Client, inner: &str) -> String {
    ask(stage, client, "set", "", &format!("<vCard xmlns='vcard-temp'>{inner}</vCard>"))
}

fn photo(text: &str) -> String {
    format!("<PHOTO><TYPE>image/png</TYPE><BINVAL>\n{text}\n</BINVAL></PHOTO>")
}

/// Romeo and Juliet online and friends, nobody else.
fn lovers() -> (Stage, Client, Client) {
    let mut stage = Stage::new(2);
    let romeo = stage.login(ROMEO, "orchard");
    let juliet = stage.login(JULIET, "balcony");
    befriend(&mut stage, romeo, juliet);
    stage.send(romeo, "<presence/>");
    announce(&mut stage, juliet, &[METADATA]);
    stage.stanzas(romeo);
    stage.stanzas(juliet);
    (stage, romeo, juliet)
}

#[test]
fn an_avatar_of_the_new_way_is_seen_in_the_old_ones() {
    let (mut stage, romeo, juliet) = lovers();
    let hash = publish_avatar(&mut stage, romeo, 64);
    let got = stage.stanzas(juliet);
    assert!(got.iter().any(|stanza| stanza.contains("pubsub#event") && stanza.contains(&hash)), "{got:?}");
    let update = format!("<x xmlns='vcard-temp:x:update'><photo>{hash}</photo></x>");
    assert!(got.iter().any(|stanza| stanza.starts_with("<presence") && stanza.contains(&update)), "{got:?}");
    let card = vcard(&mut stage, juliet, ROMEO);
    assert!(card.contains(&format!("<TYPE>image/png</TYPE><BINVAL>{}</BINVAL>", picture(64).0)), "{card}");
    // Whatever the client says of its avatar, the server knows better.
    stage.send(
        romeo,
        "<presence><x xmlns='vcard-temp:x:update'><photo>false</photo></x><show>away</show></presence>",
    );
    let got = stage.stanzas(juliet);
    assert!(got[0].contains(&update) && !got[0].contains("false"), "{got:?}");
    // Who comes later hears of it, too.
    let chamber = stage.login(JULIET, "chamber");
    stage.send(chamber, "<presence/>");
    let got = stage.stanzas(chamber);
    assert!(
        got.iter().any(|stanza| stanza.contains("<show>away</show>") && stanza.contains(&update)),
        "{got:?}"
    );
    stage.stanzas(juliet);
    // It goes, too.
    publish(&mut stage, romeo, METADATA, "none", &format!("<metadata xmlns='{METADATA}'/>"));
    let got = stage.stanzas(juliet);
    assert!(
        got.iter().any(|stanza| stanza.contains("<x xmlns='vcard-temp:x:update'><photo/></x>")),
        "{got:?}"
    );
    assert!(!vcard(&mut stage, juliet, ROMEO).contains("PHOTO"));
}

#[test]
fn an_avatar_of_the_old_way_is_seen_in_the_new_one() {
    let (mut stage, romeo, juliet) = lovers();
    let (text, hash) = picture(32);
    let got = set_vcard(&mut stage, romeo, &format!("<FN>Romeo</FN>{}<TITLE>Montague</TITLE>", photo(&text)));
    assert!(got.contains("type='result'"), "{got}");
    let got = stage.stanzas(juliet);
    let metadata = format!("<info id='{hash}' bytes='24' type='image/png' width='32' height='32'/>");
    assert!(got.iter().any(|stanza| stanza.contains(&metadata)), "{got:?}");
    assert!(got.iter().any(|stanza| stanza.contains(&format!("<photo>{hash}</photo>"))), "{got:?}");
    let child = format!("<pubsub xmlns='{PUBSUB}'><items node='{DATA}'><item id='{hash}'/></items></pubsub>");
    assert!(ask(&mut stage, juliet, "get", &jid(ROMEO), &child).contains(&text));
    let mut cards = vec![vcard(&mut stage, juliet, ROMEO)];
    stage.crash();
    let juliet = stage.login(JULIET, "balcony");
    cards.push(vcard(&mut stage, juliet, ROMEO));
    for (card, part) in cards
        .iter()
        .flat_map(|card| ["<FN xmlns='vcard-temp'>Romeo</FN>", "Montague", &*text].map(|part| (card, part)))
    {
        assert!(card.contains(part), "{part} in {card}");
    }
}

#[test]
fn setting_the_same_picture_again_tells_nobody_and_none_takes_it_away() {
    let (mut stage, romeo, juliet) = lovers();
    publish_avatar(&mut stage, romeo, 64);
    stage.stanzas(juliet);
    set_vcard(&mut stage, romeo, &photo(&picture(64).0));
    assert_eq!(stage.stanzas(juliet), [""; 0]);
    set_vcard(&mut stage, romeo, "<FN>Romeo</FN>");
    let got = stage.stanzas(juliet);
    assert!(got.iter().any(|stanza| stanza.contains("<photo/>")), "{got:?}");
    let child = format!("<pubsub xmlns='{PUBSUB}'><items node='{DATA}'/></pubsub>");
    assert!(!ask(&mut stage, romeo, "get", "", &child).contains("<item "), "its bytes are gone");
}

#[test]
fn what_is_no_avatar_is_refused() {
    let (mut stage, romeo, juliet) = lovers();
    let (text, hash) = picture(64);
    let (huge, huge_hash) = picture(70_000);
    let script = STANDARD.encode("<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>");
    for (id, payload) in [
        (&*hash, "<data xmlns='urn:xmpp:avatar:data'>no base64!</data>".to_owned()),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", format!("<data xmlns='{DATA}'>{text}</data>")),
        (&*huge_hash, format!("<data xmlns='{DATA}'>{huge}</data>")),
        ("x", format!("<data xmlns='{DATA}'>{script}</data>")),
        (&*hash, "<a xmlns='urn:x'/>".to_owned()),
    ] {
        let got = publish(&mut stage, romeo, DATA, id, &payload);
        assert_eq!(condition(&got), "bad-request", "{payload}");
    }
    for info in [
        "<info/>",
        "<info id='x'/>",
        "<info id='da39a3ee5e6b4b0d3255bfef95601890afd80709' type='image/svg+xml'/>",
    ] {
        let got = publish(
            &mut stage,
            romeo,
            METADATA,
            "x",
            &format!("<metadata xmlns='{METADATA}'>{info}</metadata>"),
        );
        assert_eq!(condition(&got), "bad-request", "{info}");
    }
    for bad in ["no base64!", &script, &huge] {
        assert_eq!(condition(&set_vcard(&mut stage, romeo, &photo(bad))), "bad-request");
    }
    let endless = format!("<NOTE>{}</NOTE>", "n".repeat(60_000));
    assert_eq!(condition(&set_vcard(&mut stage, romeo, &endless)), "not-acceptable");
    assert_eq!(stage.stanzas(juliet), [""; 0]);
}

#[test]
fn a_stranger_sees_nothing_and_not_whether_there_is_anybody() {
    let (mut stage, romeo, _) = lovers();
    publish_avatar(&mut stage, romeo, 64);
    set_vcard(&mut stage, romeo, &format!("<FN>Romeo</FN>{}", photo(&picture(64).0)));
    let nurse = stage.login(NURSE, "house");
    let nobody = vcard(&mut stage, nurse, "+15559999999").replace("+15559999999", ROMEO);
    assert_eq!(vcard(&mut stage, nurse, ROMEO), nobody);
    assert_eq!(condition(&nobody), "service-unavailable");
    let set = ask(&mut stage, nurse, "set", &jid(ROMEO), "<vCard xmlns='vcard-temp'><FN>Fool</FN></vCard>");
    assert_eq!(condition(&set), "service-unavailable");
}

#[test]
fn who_is_blocked_sees_nothing_any_more() {
    let (mut stage, romeo, juliet) = lovers();
    let block = format!("<block xmlns='urn:xmpp:blocking'><item jid='{}'/></block>", jid(JULIET));
    assert!(ask(&mut stage, romeo, "set", "", &block).contains("type='result'"));
    stage.stanzas(juliet);
    let hash = publish_avatar(&mut stage, romeo, 64);
    assert_eq!(stage.stanzas(juliet), [""; 0]);
    assert_eq!(condition(&vcard(&mut stage, juliet, ROMEO)), "service-unavailable");
    let child = format!("<pubsub xmlns='{PUBSUB}'><items node='{DATA}'><item id='{hash}'/></items></pubsub>");
    let refused = ask(&mut stage, juliet, "get", &jid(ROMEO), &child);
    let nobody = ask(&mut stage, juliet, "get", &jid("+15559999999"), &child).replace("+15559999999", ROMEO);
    assert_eq!(refused, nobody);
}

#[test]
fn a_removed_account_leaves_no_picture() {
    let (mut stage, romeo, _) = lovers();
    publish_avatar(&mut stage, romeo, 64);
    let long = "n".repeat(3_000);
    set_vcard(&mut stage, romeo, &format!("<FN>{long}</FN>{}", photo(&picture(64).0)));
    stage.command(ROMEO, crate::effects::turn::command::RemoveAccount).expect("it is removed");
    for table in [NODES, ITEMS] {
        let left = chaski_store::Engine::records(&stage.engine)
            .scan(table, "", 10)
            .expect("the memory engine reads");
        assert_eq!(left.len(), 0, "{table:?}");
    }
}

/// XEP-0054 §3.3: no vCard is what nobody has, also for who would be shown it; the owner has an empty one.
#[test]
fn no_vcard_is_as_nobodys() {
    let (mut stage, romeo, juliet) = lovers();
    assert_eq!(condition(&vcard(&mut stage, juliet, ROMEO)), "service-unavailable");
    assert!(vcard(&mut stage, romeo, ROMEO).contains("<vCard xmlns='vcard-temp'"));
    set_vcard(&mut stage, romeo, "<FN>Romeo</FN>");
    assert!(vcard(&mut stage, juliet, ROMEO).contains(">Romeo</FN>"));
    set_vcard(&mut stage, romeo, "");
    assert!(
        vcard(&mut stage, juliet, ROMEO).contains("<vCard xmlns='vcard-temp'"),
        "one that is empty is there"
    );
    publish_avatar(&mut stage, romeo, 64);
    assert!(vcard(&mut stage, juliet, ROMEO).contains("<BINVAL>"), "a picture alone is one");
}

/// A picture is the same whether its hash is written in capitals or not, in the metadata, the data and the question.
#[test]
fn a_hash_in_capitals_is_the_same_picture() {
    for (in_data, in_metadata) in [(true, false), (false, true), (true, true)] {
        let (mut stage, romeo, juliet) = lovers();
        let (text, hash) = picture(64);
        let spelled = |is_upper: bool| if is_upper { hash.to_uppercase() } else { hash.clone() };
        let (data_id, id) = (spelled(in_data), spelled(in_metadata));
        let data = format!("<data xmlns='{DATA}'>{text}</data>");
        publish(&mut stage, romeo, DATA, &data_id, &data);
        let info =
            format!("<metadata xmlns='{METADATA}'><info id='{id}' bytes='24' type='image/png'/></metadata>");
        stage.stanzas(juliet);
        publish(&mut stage, romeo, METADATA, &id, &info);
        let got = stage.stanzas(juliet);
        let shown = format!("<photo>{hash}</photo>");
        assert!(got.iter().any(|stanza| stanza.contains(&shown)), "{in_data} {in_metadata}: {got:?}");
        assert!(vcard(&mut stage, juliet, ROMEO).contains(&text));
        for asked in [id, hash.clone(), hash.to_uppercase()] {
            let items = format!(
                "<pubsub xmlns='{PUBSUB}'><items node='{DATA}'><item id='{asked}'/></items></pubsub>"
            );
            assert!(ask(&mut stage, juliet, "get", &jid(ROMEO), &items).contains(&text), "{asked}");
        }
        // Published again otherwise, it is one item still.
        publish(&mut stage, romeo, DATA, &spelled(!in_data), &data);
        let all = format!("<pubsub xmlns='{PUBSUB}'><items node='{DATA}'/></pubsub>");
        assert_eq!(ask(&mut stage, juliet, "get", &jid(ROMEO), &all).matches("<item ").count(), 1);
    }
}

/// Whoever writes to a service wants to see with whom he has to do.
#[test]
fn a_service_account_shows_its_card_to_everybody() {
    let mut stage = Stage::new(2);
    stage.set_account("bot", 1).unwrap();
    let bot = stage.login("bot", "x");
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    assert_eq!(condition(&vcard(&mut stage, romeo, "bot")), "service-unavailable");
    set_vcard(&mut stage, bot, &format!("<FN>Bot</FN>{}", photo(&picture(64).0)));
    let shown = vcard(&mut stage, romeo, "bot");
    assert!(shown.contains(">Bot</FN>") && shown.contains("<BINVAL>"), "{shown}");
    let hide: crate::account::settings::Patch =
        serde_json::from_str(r#"{"photo":{"show":"contacts"},"status":{"show":"contacts"}}"#).unwrap();
    let change = crate::effects::turn::command::PrivacyChange { patch: hide, whole: false };
    stage.command("bot", crate::effects::turn::command::SetPrivacy(Some(change))).unwrap();
    assert_eq!(
        condition(&vcard(&mut stage, romeo, "bot")),
        "service-unavailable",
        "unless it says otherwise"
    );
    stage.crash();
    let (romeo, _) = stage.arrive(ROMEO, "orchard");
    stage.received(romeo);
    assert_eq!(condition(&vcard(&mut stage, romeo, "bot")), "service-unavailable", "and that is kept");
}
