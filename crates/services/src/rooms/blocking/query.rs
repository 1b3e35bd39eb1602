//! The commands of XEP-0191 as values, and their payloads.

use super::report::Complaint;
use crate::account::blocks::{ENTRIES_MAX, Entry};
use chaski_xmpp::xml;
use chaski_xmpp::{ElementRef, JidRef, StanzaCondition, ns};

/// The request of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// Get the list, and get pushes of its changes.
    List,
    /// Put these JIDs on the list, each with the report about it, if any.
    Block(Vec<(Entry, Option<Complaint>)>),
    /// Take these JIDs off the list.
    Unblock(Vec<Entry>),
    /// Take all JIDs off the list.
    UnblockAll,
}

impl Query {
    /// Reads the child of a request. `own`: the account's bare JID, which can't be blocked.
    pub(super) fn read(is_get: bool, child: &ElementRef<'_>, own: &str) -> Result<Self, StanzaCondition> {
        if is_get && child.is("blocklist", ns::BLOCKING) {
            return Ok(Self::List);
        }
        let blocks = child.is("block", ns::BLOCKING);
        if is_get || !(blocks || child.is("unblock", ns::BLOCKING)) {
            return Err(StanzaCondition::BadRequest);
        }
        let domain = JidRef::split(own).domain;
        let mut items = Vec::new();
        for item in child.children().filter(|item| item.is("item", ns::BLOCKING)) {
            if items.len() >= ENTRIES_MAX {
                return Err(StanzaCondition::PolicyViolation);
            }
            let jid = item.attr("jid").ok_or(StanzaCondition::BadRequest)?;
            let entry = match Entry::parse(&jid, domain) {
                Ok(entry) => entry,
                // An entry from the time of other JID rules may be on the list, and must be removable.
                Err(_) if !blocks => Entry::from_document(&jid).ok_or(StanzaCondition::JidMalformed)?,
                Err(_) => return Err(StanzaCondition::JidMalformed),
            };
            if blocks && entry.jid(domain) == own {
                return Err(StanzaCondition::NotAllowed);
            }
            items.push((entry, Complaint::read(&item)));
        }
        match (blocks, items.is_empty()) {
            (true, true) => Err(StanzaCondition::BadRequest),
            (true, false) => Ok(Self::Block(items)),
            (false, true) => Ok(Self::UnblockAll),
            (false, false) => Ok(Self::Unblock(items.into_iter().map(|(entry, _)| entry).collect())),
        }
    }
}

/// `<blocklist/>`, `<block/>` or `<unblock/>` with these items.
pub(super) fn payload(name: &'static str, entries: impl Iterator<Item = Entry>, domain: &str) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns(name, ns::BLOCKING);
        for entry in entries {
            writer.open("item").attr("jid", &entry.jid(domain)).close();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_xmpp::Stanza;

    const OWN: &str = "+15551230001@d.example";

    fn read(is_get: bool, child: &str) -> Result<Query, StanzaCondition> {
        let iq = format!("<iq>{child}</iq>");
        let stanza = Stanza::parse(iq.as_bytes()).unwrap();
        let child = stanza.children().next().unwrap();
        Query::read(is_get, &child, OWN)
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(read(true, "<blocklist xmlns='urn:xmpp:blocking'/>"), Ok(Query::List));
        assert_eq!(read(false, "<unblock xmlns='urn:xmpp:blocking'/>"), Ok(Query::UnblockAll));
        let items = "<item jid='+15551230002@D.example'/><item jid='spam.example'/>";
        let entries = vec![
            Entry::parse("+15551230002@d.example", "d.example").unwrap(),
            Entry::parse("spam.example", "d.example").unwrap(),
        ];
        let unblock = format!("<unblock xmlns='urn:xmpp:blocking'>{items}</unblock>");
        assert_eq!(read(false, &unblock), Ok(Query::Unblock(entries.clone())));
        let block = format!("<block xmlns='urn:xmpp:blocking'>{items}</block>");
        let expected = entries.into_iter().map(|entry| (entry, None)).collect();
        assert_eq!(read(false, &block), Ok(Query::Block(expected)));
    }

    #[test]
    fn what_older_rules_let_in_can_be_unblocked() {
        let item = "<item jid='☃@b.example'/>";
        let stored = Entry::from_document("☃@b.example").unwrap();
        let unblock = format!("<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>");
        assert_eq!(read(false, &unblock), Ok(Query::Unblock(vec![stored])));
        let block = format!("<block xmlns='urn:xmpp:blocking'>{item}</block>");
        assert_eq!(read(false, &block), Err(StanzaCondition::JidMalformed));
    }

    #[test]
    fn nonsense_is_refused() {
        use StanzaCondition::{BadRequest, JidMalformed, NotAllowed, PolicyViolation};
        let block = |items: &str| read(false, &format!("<block xmlns='urn:xmpp:blocking'>{items}</block>"));
        assert_eq!(block(""), Err(BadRequest));
        assert_eq!(block("<item/>"), Err(BadRequest));
        assert_eq!(block("<item jid='a@'/>"), Err(JidMalformed));
        assert_eq!(block("<item jid='a@b'/><item jid=''/>"), Err(JidMalformed));
        assert_eq!(block(&format!("<item jid='{OWN}'/>")), Err(NotAllowed));
        assert_eq!(block(&"<item jid='a@b'/>".repeat(ENTRIES_MAX + 1)), Err(PolicyViolation));
        assert_eq!(read(true, "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>"), Err(BadRequest));
        assert_eq!(read(false, "<blocklist xmlns='urn:xmpp:blocking'/>"), Err(BadRequest));
    }
}
