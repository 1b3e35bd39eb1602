//! Roster requests as clients write them, and the answers byte for byte.

use super::*;
use crate::account::roster::Kind;
use crate::account::roster::RosterKnobs;
use chaski_xmpp::Stanza;

const DOMAIN: &str = "verona.example";
const OWN: &str = "+15551230001@verona.example";

fn read(iq_type: IqType, query: &str) -> Result<Request, StanzaCondition> {
    let iq = format!("<iq type='set' id='1'>{query}</iq>");
    let stanza = Stanza::parse(iq.as_bytes()).unwrap();
    let query = stanza.child("query", ns::ROSTER).unwrap();
    Request::read(iq_type, &query, OWN, DOMAIN)
}

fn set(inside: &str) -> Result<Request, StanzaCondition> {
    read(IqType::Set, &format!("<query xmlns='jabber:iq:roster'>{inside}</query>"))
}

#[test]
fn a_get_may_name_a_version() {
    let get = |query| read(IqType::Get, query).unwrap();
    assert_eq!(get("<query xmlns='jabber:iq:roster'/>"), Request::Get { version: None });
    assert_eq!(
        get("<query xmlns='jabber:iq:roster' ver=''/>"),
        Request::Get { version: Some(String::new()) }
    );
}

#[test]
fn a_set_names_contact_name_and_groups() {
    let request = set(
        "<item jid='+15551230002@Verona.example' name='Romeo &amp; co' subscription='both' ask='subscribe'>\
                       <group>Friends</group><group>Montague</group></item>",
    );
    let expected = Request::Set {
        contact: Contact::Phone(15_551_230_002),
        name: "Romeo & co".into(),
        groups: vec!["Friends".into(), "Montague".into()],
    };
    assert_eq!(request, Ok(expected));
}

#[test]
fn a_removal_is_a_subscription_of_remove() {
    let request = set("<item jid='nurse@verona.example' subscription='remove'/>");
    assert_eq!(request, Ok(Request::Remove { contact: Contact::Other("nurse@verona.example".into()) }));
}

#[test]
fn what_older_rules_let_in_can_be_removed() {
    let request = set("<item jid='☃@verona.example' subscription='remove'/>");
    assert_eq!(request, Ok(Request::Remove { contact: Contact::Other("☃@verona.example".into()) }));
    assert_eq!(set("<item jid='☃@verona.example'/>"), Err(StanzaCondition::JidMalformed));
}

#[test]
fn refused_as_the_rfc_says() {
    let item = "<item jid='nurse@verona.example'/>";
    let long_name = format!("<item jid='nurse@verona.example' name='{}'/>", "n".repeat(NAME_BYTES_MAX + 1));
    let long_group = format!("<item jid='a@b'><group>{}</group></item>", "g".repeat(GROUP_BYTES_MAX + 1));
    let groups: String = (0..=GROUPS_MAX).map(|n| format!("<group>{n}</group>")).collect();
    let cases = [
        ("", StanzaCondition::BadRequest),
        (&*format!("{item}{item}"), StanzaCondition::BadRequest),
        ("<other/>", StanzaCondition::BadRequest),
        ("<item name='nobody'/>", StanzaCondition::BadRequest),
        ("<item jid='a@b'><group>g</group><group>g</group></item>", StanzaCondition::BadRequest),
        ("<item jid='@'/>", StanzaCondition::JidMalformed),
        ("<item jid='nurse@verona.example/chamber'/>", StanzaCondition::JidMalformed),
        ("<item jid='+15551230001@verona.example'/>", StanzaCondition::NotAllowed),
        ("<item jid='a@b'><group/></item>", StanzaCondition::NotAcceptable),
        (&*long_name, StanzaCondition::NotAcceptable),
        (&*long_group, StanzaCondition::NotAcceptable),
        (&*format!("<item jid='a@b'>{groups}</item>"), StanzaCondition::NotAcceptable),
    ];
    for (inside, condition) in cases {
        assert_eq!(set(inside), Err(condition), "{inside}");
    }
}

fn roster() -> Roster {
    let limits = RosterKnobs::default();
    let mut roster = Roster::default();
    let romeo = Contact::Phone(15_551_230_002);
    roster.set(&romeo, "Romeo <3", vec!["Friends".into()], &limits).unwrap();
    roster.outbound(&romeo, Kind::Subscribe, &limits).unwrap();
    roster.outbound(&Contact::Other("bot@verona.example".into()), Kind::Subscribed, &limits).unwrap();
    roster.inbound(&Contact::Phone(15_551_230_009), Kind::Subscribe, "", &limits).unwrap();
    roster
}

/// The items of an answer or push, read back: jid, subscription, ask, approved, name, groups.
fn items(payload: &[u8]) -> Vec<[String; 6]> {
    let iq = [b"<iq id='1' type='set'>", payload, b"</iq>"].concat();
    let stanza = Stanza::parse(&iq).unwrap();
    let query = stanza.child("query", ns::ROSTER).unwrap();
    let attr = |item: &ElementRef<'_>, name| item.attr(name).unwrap_or_default().into_owned();
    query
        .children()
        .map(|item| {
            let groups: Vec<String> = item.children().map(|group| group.text().into_owned()).collect();
            let [jid, subscription, ask, approved, name] =
                ["jid", "subscription", "ask", "approved", "name"].map(|name| attr(&item, name));
            [jid, subscription, ask, approved, name, groups.join(",")]
        })
        .collect()
}

#[test]
fn the_answer_lists_items_and_hides_who_only_asked() {
    let answer = roster().answer(None, DOMAIN).unwrap();
    let got = items(&answer);
    let expected = [
        ["+15551230002@verona.example", "none", "subscribe", "", "Romeo <3", "Friends"],
        ["bot@verona.example", "none", "", "true", "", ""],
    ];
    assert_eq!(got, expected);
}

#[test]
fn an_unchanged_version_is_not_sent_again() {
    let roster = roster();
    assert!(roster.answer(Some(""), DOMAIN).is_some());
    assert!(roster.answer(Some("other"), DOMAIN).is_some());
    assert_eq!(roster.answer(Some(&roster.version()), DOMAIN), None);
}

#[test]
fn a_push_shows_the_item_or_its_removal() {
    let mut roster = roster();
    let bot = Contact::Other("bot@verona.example".into());
    assert_eq!(items(&roster.push(&bot, &roster.version(), DOMAIN))[0][3], "true");
    roster.remove(&bot);
    assert_eq!(
        items(&roster.push(&bot, &roster.version(), DOMAIN)),
        [["bot@verona.example", "remove", "", "", "", ""]]
    );
}
