//! Who is in the phone book: under which names, and who is here now (RFC 6121 §2 and §4).
//!
//! Owned by the session, which gives it what comes. Texts are as they came: whoever shows
//! them takes care of control characters.
//!
//! Promise: at most [`PEOPLE_MAX`] people and [`DEVICES_MAX`] devices of each are remembered, whatever is sent.

use crate::show::bare;
use chaski_client::message::new_id;
use chaski_xmpp::stanza::{IqType, PresenceType};
use chaski_xmpp::write::{Header, Writer};
use chaski_xmpp::{Kind, Stanza, ns};
use std::collections::BTreeMap;

/// People remembered.
pub const PEOPLE_MAX: usize = 5_000;
/// Devices of one of them.
pub const DEVICES_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct People {
    people: BTreeMap<String, Person>,
}

#[derive(Debug, Default)]
struct Person {
    name: Option<String>,
    in_book: bool,
    /// What each device that is here shows: nothing, or `away`, `dnd` and the like.
    here: BTreeMap<String, Option<String>>,
}

impl People {
    /// Asks for the roster.
    pub fn ask() -> Vec<u8> {
        iq("get", &new_id(), |writer| {
            writer.open_ns("query", ns::ROSTER).close();
        })
    }

    /// Gives somebody a name, and puts them into the roster if they are not there. Shown at once; the server's push confirms it.
    pub fn rename(&mut self, jid: &str, name: &str) -> Vec<u8> {
        if let Some(person) = self.person(jid) {
            person.name = Some(name.to_owned());
            person.in_book = true;
        }
        iq("set", &new_id(), |writer| {
            writer.open_ns("query", ns::ROSTER).open("item").attr("jid", jid).attr("name", name).close();
            writer.close();
        })
    }

    /// Everybody is away: the connection is a new one.
    pub fn forget_presence(&mut self) {
        self.people.values_mut().for_each(|person| person.here.clear());
    }

    /// Takes what is about the roster or presence. `own`: our bare JID, which alone speaks for our roster (RFC 6121 §2.1.6).
    pub fn take(&mut self, stanza: &Stanza<'_>, own: &str) {
        match stanza.kind() {
            Kind::Presence => self.presence(stanza),
            Kind::Iq => self.roster(stanza, own),
            _ => {}
        }
    }

    fn presence(&mut self, stanza: &Stanza<'_>) {
        let Some(from) = stanza.from() else { return };
        let (who, device) = from.split_once('/').unwrap_or((&from, ""));
        match stanza.presence_type() {
            Some(PresenceType::Available) => {
                let show = stanza.child("show", ns::CLIENT).map(|show| show.text().trim().to_owned());
                let Some(person) = self.person(who) else { return };
                if person.here.len() < DEVICES_MAX || person.here.contains_key(device) {
                    person.here.insert(device.to_owned(), show.filter(|show| !show.is_empty()));
                }
            }
            Some(PresenceType::Unavailable) => {
                if let Some(person) = self.people.get_mut(who) {
                    person.here.remove(device);
                }
            }
            _ => {}
        }
    }

    fn roster(&mut self, stanza: &Stanza<'_>, own: &str) {
        let Some(query) = stanza.child("query", ns::ROSTER) else { return };
        let is_ours = stanza.from().is_none_or(|from| bare(&from) == own);
        if !is_ours || !matches!(stanza.iq_type(), Some(IqType::Result | IqType::Set)) {
            return;
        }
        for item in query.children().filter(|item| item.name() == "item") {
            let Some(jid) = item.attr("jid") else { continue };
            if item.attr("subscription").is_some_and(|subscription| subscription == "remove") {
                self.people.remove(&*jid);
            } else if let Some(person) = self.person(&jid) {
                person.name = item.attr("name").map(|name| name.into_owned()).filter(|name| !name.is_empty());
                person.in_book = true;
            }
        }
    }

    fn person(&mut self, jid: &str) -> Option<&mut Person> {
        let has_room = self.people.len() < PEOPLE_MAX || self.people.contains_key(jid);
        has_room.then(|| self.people.entry(jid.to_owned()).or_default())
    }

    /// The name that somebody has in the phone book.
    pub fn name_of(&self, jid: &str) -> Option<&str> {
        self.people.get(bare(jid))?.name.as_deref()
    }

    /// Whoever has this name, in whatever case it is written.
    pub fn named(&self, name: &str) -> Vec<&str> {
        let name = name.to_lowercase();
        let has_name = |person: &Person| person.name.as_ref().is_some_and(|own| own.to_lowercase() == name);
        self.people.iter().filter(|(_, person)| has_name(person)).map(|(jid, _)| jid.as_str()).collect()
    }

    /// Everybody in the phone book: address, name, and what they show if they are here. Who is here comes first.
    pub fn who(&self) -> Vec<(&str, Option<&str>, Option<&str>)> {
        let mut all: Vec<_> = self.people.iter().filter(|(_, person)| person.in_book).collect();
        all.sort_by_key(|(_, person)| person.here.is_empty());
        all.into_iter()
            .map(|(jid, person)| {
                let shows = person.here.values().map(|show| show.as_deref().unwrap_or("here"));
                // The most present of the devices.
                let show = shows.min_by_key(|show| (*show != "here" && *show != "chat", *show != "away"));
                (jid.as_str(), person.name.as_deref(), show)
            })
            .collect()
    }
}

fn iq(kind: &str, id: &str, content: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let mut writer = Writer::new(&mut out);
    Header { from: None, to: None, id: Some(id), type_attr: Some(kind) }.open(&mut writer, Kind::Iq);
    content(&mut writer);
    writer.close();
    drop(writer);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "+15550100001@x";

    fn take(people: &mut People, stanza: &str) {
        people.take(&Stanza::parse(stanza.as_bytes()).unwrap(), OWN);
    }

    fn roster(items: &str) -> String {
        format!("<iq type='result' id='1'><query xmlns='jabber:iq:roster'>{items}</query></iq>")
    }

    #[test]
    fn names_and_presence() {
        let mut people = People::default();
        take(
            &mut people,
            &roster("<item jid='+1@x' name='Ann'/><item jid='+2@x'/><item jid='+3@x' name='Ben'/>"),
        );
        assert_eq!((people.name_of("+1@x/phone"), people.name_of("+2@x")), (Some("Ann"), None));
        assert_eq!(people.named("ANN"), ["+1@x"]);
        take(&mut people, "<presence from='+3@x/a'><show>away</show></presence>");
        take(&mut people, "<presence from='+3@x/b'/>");
        take(&mut people, "<presence from='+9@x/b'/>");
        assert_eq!(people.who()[0], ("+3@x", Some("Ben"), Some("here")));
        assert_eq!(people.who().len(), 3, "a stranger's presence makes no contact");
        take(&mut people, "<presence from='+3@x/b' type='unavailable'/>");
        assert_eq!(people.who()[0].2, Some("away"));
        people.forget_presence();
        assert_eq!(people.who()[0], ("+1@x", Some("Ann"), None));
    }

    #[test]
    fn only_our_own_server_changes_the_roster() {
        let mut people = People::default();
        let push = |from: &str, item: &str| {
            format!("<iq type='set' id='p' {from}><query xmlns='jabber:iq:roster'>{item}</query></iq>")
        };
        take(&mut people, &push("", "<item jid='+1@x' name='Ann'/>"));
        take(&mut people, &push("from='+9@x/a'", "<item jid='+1@x' name='Eve'/>"));
        assert_eq!(people.name_of("+1@x"), Some("Ann"));
        take(&mut people, &push("from='+15550100001@x'", "<item jid='+1@x' subscription='remove'/>"));
        assert_eq!(people.name_of("+1@x"), None);
        take(
            &mut people,
            "<iq type='get' id='q'><query xmlns='jabber:iq:roster'><item jid='+4@x'/></query></iq>",
        );
        assert!(people.who().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut people = People::default();
        for n in 0..PEOPLE_MAX + 9 {
            take(&mut people, &format!("<presence from='{n}@x/a'/>"));
        }
        for n in 0..DEVICES_MAX + 9 {
            take(&mut people, &format!("<presence from='1@x/{n}'/>"));
        }
        assert_eq!((people.people.len(), people.people["1@x"].here.len()), (PEOPLE_MAX, DEVICES_MAX));
    }

    #[test]
    fn names_are_written_with_care() {
        let mut people = People::default();
        let set = String::from_utf8(people.rename("+1@x", "A & <B>'")).unwrap();
        assert_eq!(people.name_of("+1@x"), Some("A & <B>'"));
        let parsed = Stanza::parse(set.as_bytes()).unwrap();
        let query = parsed.child("query", ns::ROSTER).unwrap();
        assert_eq!(query.children().next().unwrap().attr("name").unwrap(), "A & <B>'");
    }
}
