//! Bookmarks of XEP-0048 (in private data) and of XEP-0402 (PEP): one list, in two forms.
//!
//! The truth is the PEP node of XEP-0402, with one item for each group chat. What an old client stores is split into items, of
//! which only those that differ are published; what it requests is put together from the items. Pure: [`super`] reads and writes.

use crate::account::nodes::{NewItem, Nodes};
use crate::changes::nodes as nodes_change;
use crate::changes::nodes::Outcome;
use crate::fault::Fault;
use chaski_xmpp::xml;
use chaski_xmpp::{ElementRef, JidRef, Stanza, ns};
use std::collections::BTreeMap;

/// The namespace of XEP-0048.
pub(super) const STORAGE: &str = "storage:bookmarks";

/// The payloads in an account's bookmarks node, by the JIDs of the group chats.
pub(super) type Bookmarks = BTreeMap<String, String>;

/// The bookmarks that an old client wants to store.
pub(super) struct Wanted {
    /// The group chats, without the extensions that only XEP-0402 has.
    rooms: BTreeMap<String, Room>,
    /// Bookmarks that are no group chats (`<url/>`): stored as they are.
    pub(super) rest: Box<str>,
}

/// A group chat's bookmark, as far as both XEPs have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Room {
    name: Option<String>,
    autojoin: bool,
    nick: Option<String>,
    password: Option<String>,
}

impl Room {
    /// Reads a `<conference/>` of either XEP; its children are in its own namespace.
    fn read(conference: &ElementRef<'_>) -> Self {
        let ns = conference.ns();
        let text = |name| conference.child(name, &ns).map(|child| child.text().into_owned());
        Self {
            name: conference.attr("name").map(Into::into),
            autojoin: matches!(conference.attr("autojoin").as_deref(), Some("1" | "true")),
            nick: text("nick"),
            password: text("password"),
        }
    }

    fn write(&self, jid: Option<&str>, ns: Option<&str>, extensions: &[u8]) -> String {
        let xml = xml(|writer| {
            writer.open("conference").attr_opt("xmlns", ns).attr_opt("jid", jid);
            writer
                .attr_opt("name", self.name.as_deref())
                .attr_opt("autojoin", self.autojoin.then_some("true"));
            for (name, text) in [("nick", &self.nick), ("password", &self.password)] {
                if let Some(text) = text {
                    writer.leaf(name, text);
                }
            }
            writer.raw(extensions);
        });
        String::from_utf8(xml).expect("what is written from text is UTF-8")
    }
}

impl Wanted {
    /// Reads `<storage xmlns='storage:bookmarks'/>`.
    pub(super) fn read(storage: &ElementRef<'_>) -> Self {
        let (mut rooms, mut rest) = (BTreeMap::new(), Vec::new());
        for child in storage.children() {
            let mut scratch = String::new();
            let jid = child.attr("jid").filter(|_| child.is("conference", STORAGE)).unwrap_or_default();
            let jid = JidRef::parse(&jid, &mut scratch).map(|jid| jid.to_bare().to_string());
            match jid {
                Ok(jid) => _ = rooms.insert(jid, Room::read(&child)),
                Err(_) => child.write_standalone(&mut rest),
            }
        }
        Self { rooms, rest: String::from_utf8(rest).expect("what was validated is UTF-8").into() }
    }

    /// Changes the node: publishes bookmarks that differ, retracts those that are no longer wanted.
    pub(super) fn put(
        &self,
        nodes: &mut Nodes,
        kept: &Bookmarks,
        now_unix_ms: u64,
    ) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::default();
        nodes.make_room(ns::BOOKMARKS, self.rooms.len())?;
        let gone: Vec<Box<str>> = match nodes.get(ns::BOOKMARKS) {
            Some(node) => {
                let ids = node.items.iter().map(|item| item.id.clone());
                ids.filter(|id| !self.rooms.contains_key(&**id)).collect()
            }
            None => Vec::new(),
        };
        if !gone.is_empty() {
            outcome.add(nodes_change::retract(nodes, ns::BOOKMARKS, gone, Some(true))?);
        }
        for (jid, room) in &self.rooms {
            let (before, extensions) = kept.get(jid).map(|payload| parts(payload)).unwrap_or_default();
            if before.as_ref() == Some(room) && kept.contains_key(jid) {
                continue;
            }
            let payload = room.write(None, Some(ns::BOOKMARKS), &extensions);
            let item = NewItem { id: jid, payload: &payload, now_unix_ms };
            outcome.add(nodes_change::publish(nodes, ns::BOOKMARKS, item, None)?);
        }
        Ok(outcome)
    }
}

/// The bookmark in a payload, and the extensions that only XEP-0402 has.
fn parts(payload: &str) -> (Option<Room>, Vec<u8>) {
    let Ok(stanza) = Stanza::parse(payload.as_bytes()) else { return (None, Vec::new()) };
    let conference = stanza.root();
    let mut extensions = Vec::new();
    let old = |child: &ElementRef<'_>| child.is("nick", ns::BOOKMARKS) || child.is("password", ns::BOOKMARKS);
    for child in conference.children().filter(|child| !old(child)) {
        child.write_standalone(&mut extensions);
    }
    (Some(Room::read(&conference)), extensions)
}

/// The element that an old client gets.
pub(super) fn storage(kept: &Bookmarks, rest: &str) -> String {
    if kept.is_empty() && rest.is_empty() {
        return format!("<storage xmlns='{STORAGE}'/>");
    }
    let mut out = format!("<storage xmlns='{STORAGE}'>");
    for (jid, payload) in kept {
        if let (Some(room), _) = parts(payload) {
            out += &room.write(Some(jid), None, b"");
        }
    }
    out + rest + "</storage>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::news::News;

    fn wanted(inner: &str) -> Wanted {
        let storage = format!("<storage xmlns='{STORAGE}'>{inner}</storage>");
        Wanted::read(&Stanza::parse(storage.as_bytes()).unwrap().root())
    }

    fn kept(outcome: &Outcome, mut before: Bookmarks) -> (Bookmarks, usize) {
        let mut told = 0;
        for (_, news) in &outcome.news {
            match news {
                News::Published { item, payload } => {
                    told += 1;
                    before.insert(item.to_string(), payload.clone().unwrap().into());
                }
                News::Retracted { items } => items.iter().for_each(|item| _ = before.remove(&**item)),
                _ => {}
            }
        }
        (before, told)
    }

    #[test]
    fn both_kinds_say_the_same_and_only_differences_are_told() {
        let mut nodes = Nodes::default();
        let two = "<conference jid='a@rooms.example' name='A&amp;B' autojoin='1'><nick>n</nick></conference>\
                   <conference jid='b@rooms.example'/>";
        let outcome = wanted(two).put(&mut nodes, &Bookmarks::new(), 1).unwrap();
        let (first, told) = kept(&outcome, Bookmarks::new());
        assert_eq!(told, 2);
        assert_eq!(
            first["a@rooms.example"],
            "<conference xmlns='urn:xmpp:bookmarks:1' name='A&amp;B' autojoin='true'><nick>n</nick></conference>"
        );
        let shown = storage(&first, "");
        assert!(
            shown.contains("<conference jid='a@rooms.example' name='A&amp;B' autojoin='true'><nick>n</nick>")
        );
        let again = wanted(two).put(&mut nodes, &first, 2).unwrap();
        assert!(again.news.is_empty() && again.writes.is_empty(), "nothing has changed");
        let outcome =
            wanted("<conference jid='b@rooms.example' name='B'/>").put(&mut nodes, &first, 3).unwrap();
        let (last, told) = kept(&outcome, first);
        assert_eq!((last.len(), told), (1, 1));
    }

    #[test]
    fn what_only_the_new_kind_has_stays_and_what_only_the_old_has_too() {
        let mut nodes = Nodes::default();
        let extended = "<conference xmlns='urn:xmpp:bookmarks:1'><nick>n</nick><extensions><x xmlns='urn:x'/></extensions></conference>";
        let before = Bookmarks::from([("a@b".to_owned(), extended.to_owned())]);
        let want = wanted("<conference jid='a@b' name='A'/><url name='u' url='https://example.org'/>");
        let (after, _) = kept(&want.put(&mut nodes, &before, 1).unwrap(), before);
        assert!(after["a@b"].contains("urn:x") && !after["a@b"].contains("<nick>"), "{after:?}");
        assert!(storage(&after, &want.rest).contains("<url "));
    }
}
