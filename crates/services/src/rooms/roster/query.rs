//! `jabber:iq:roster` on the wire: what a client asks, what the server answers and pushes.
//!
//! RFC 6121 §2.1 to §2.6. Reading refuses what §2.3.3 and §2.5.3 say is to be refused. Called by [`super::answer`]
//! and the presence room.

use crate::account::roster::{
    Contact, GROUP_BYTES_MAX, GROUPS_MAX, Item, NAME_BYTES_MAX, Roster, Subscription,
};
use chaski_xmpp::stanza::IqType;
use chaski_xmpp::xml;
use chaski_xmpp::{BareJid, ElementRef, JidRef, StanzaCondition, Writer, ns};
use std::borrow::Cow;

/// A client's roster request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The whole roster, unless it has this version already.
    Get {
        /// The `ver` attribute; "": the client has no roster yet, but supports versions.
        version: Option<String>,
    },
    /// To make or change an item.
    Set {
        /// The item's contact.
        contact: Contact,
        /// Its name, or "".
        name: String,
        /// Its groups, each once.
        groups: Vec<Box<str>>,
    },
    /// To remove an item and the subscriptions with it.
    Remove {
        /// The item's contact.
        contact: Contact,
    },
}

impl Request {
    /// Reads `<query xmlns='jabber:iq:roster'/>` of the account with the JID `own`.
    pub(super) fn read(
        iq_type: IqType,
        query: &ElementRef<'_>,
        own: &str,
        domain: &str,
    ) -> Result<Self, StanzaCondition> {
        match iq_type {
            IqType::Get => Ok(Self::Get { version: query.attr("ver").map(Cow::into_owned) }),
            IqType::Set => Self::read_set(query, own, domain),
            IqType::Result | IqType::Error => Err(StanzaCondition::BadRequest),
        }
    }

    fn read_set(query: &ElementRef<'_>, own: &str, domain: &str) -> Result<Self, StanzaCondition> {
        let mut items = query.children();
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(StanzaCondition::BadRequest);
        };
        if !item.is("item", ns::ROSTER) {
            return Err(StanzaCondition::BadRequest);
        }
        let jid = item.attr("jid").ok_or(StanzaCondition::BadRequest)?;
        // Any other value of `subscription`, and `ask` and `approved`, are ignored, since a client can't set them (§2.1.2).
        let removes = item.attr("subscription").is_some_and(|value| value == "remove");
        let contact = match BareJid::parse(&jid) {
            Ok(jid) if jid.as_str() == own => return Err(StanzaCondition::NotAllowed),
            Ok(jid) => Contact::new(jid.as_str(), domain),
            // An item from the time of other JID rules may be in the roster, and must be removable.
            Err(_) if removes && JidRef::split(&jid).resource.is_none() => Contact::new(&jid, domain),
            Err(_) => return Err(StanzaCondition::JidMalformed),
        };
        if removes {
            return Ok(Self::Remove { contact });
        }
        let name = item.attr("name").unwrap_or_default().into_owned();
        if name.len() > NAME_BYTES_MAX {
            return Err(StanzaCondition::NotAcceptable);
        }
        Ok(Self::Set { contact, name, groups: read_groups(&item)? })
    }
}

fn read_groups(item: &ElementRef<'_>) -> Result<Vec<Box<str>>, StanzaCondition> {
    let mut groups: Vec<Box<str>> = Vec::new();
    for group in item.children().filter(|child| child.is("group", ns::ROSTER)) {
        let name = group.text();
        if name.is_empty() || name.len() > GROUP_BYTES_MAX || groups.len() == GROUPS_MAX {
            return Err(StanzaCondition::NotAcceptable);
        }
        if groups.iter().any(|known| **known == *name) {
            return Err(StanzaCondition::BadRequest);
        }
        groups.push(name.into());
    }
    Ok(groups)
}

impl Roster {
    /// The answer to a roster get: `None` if the client has this version already (an empty result, §2.6.2).
    pub fn answer(&self, version: Option<&str>, domain: &str) -> Option<Vec<u8>> {
        let current = self.version();
        if version == Some(&*current) {
            return None;
        }
        Some(xml(|writer| {
            writer.open_ns("query", ns::ROSTER).attr_opt("ver", version.map(|_| &*current));
            for item in self.listed() {
                write_item(writer, item.contact(), Some(item), domain);
            }
        }))
    }

    /// The payload of a roster push for the contact: its item, or the item's removal (§2.1.6). `version` is the version that the
    /// client then has.
    pub(super) fn push(&self, contact: &Contact, version: &str, domain: &str) -> Vec<u8> {
        xml(|writer| {
            writer.open_ns("query", ns::ROSTER).attr("ver", version);
            let item = self.get(contact).filter(|item| item.state().is_listed());
            write_item(writer, contact, item, domain);
        })
    }
}

fn write_item(writer: &mut Writer<'_>, contact: &Contact, item: Option<&Item>, domain: &str) {
    writer.open("item").attr("jid", &contact.jid(domain));
    let state = item.map(Item::state);
    writer.attr("subscription", state.map_or("remove", Subscription::as_str));
    let Some(item) = item else {
        writer.close();
        return;
    };
    if item.state().asks() {
        writer.attr("ask", "subscribe");
    }
    if item.state().approved() {
        writer.attr("approved", "true");
    }
    if !item.name().is_empty() {
        writer.attr("name", item.name());
    }
    for group in item.groups() {
        writer.leaf("group", group);
    }
    writer.close();
}

#[cfg(test)]
mod tests;
