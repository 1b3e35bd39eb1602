//! Service discovery (XEP-0030): what the domain and an account's bare JID are and can.
//!
//! Features come from the one table [`crate::iq::SPECS`], so nothing is announced that no room has declared.
//! Pure: payloads of results. Called by [`crate::iq`], which has checked who may ask.

use crate::caps;
use crate::commands::{self, AdHoc};
use crate::context::Realm;
use crate::directory::Account;
use crate::iq::{Asker, Scope, Xep, features, xml};
use crate::pep;
use chaski_xmpp::{ElementRef, StanzaCondition, ns};

/// What this room implements.
pub const SPEC: &[Xep] = &[Xep::new(
    30,
    "2.5.0",
    "Service Discovery",
    &[(Scope::Everywhere, ns::DISCO_INFO), (Scope::Everywhere, ns::DISCO_ITEMS)],
)];

struct Identity<'a> {
    category: &'a str,
    kind: &'a str,
    name: Option<&'a str>,
}

/// `disco#info` of the domain, of its list of commands, or of a command.
pub(crate) fn domain_info(
    realm: &Realm,
    account: &Account,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    let node = query.attr("node");
    match node.as_deref() {
        None => Ok(server_info(None)),
        Some(hash) if caps::is_own(hash) => Ok(server_info(Some(hash))),
        Some(ns::COMMANDS) => {
            let list = Identity { category: "automation", kind: "command-list", name: Some("Commands") };
            Ok(info(node.as_deref(), &[list], &[ns::COMMANDS, ns::DISCO_INFO, ns::DISCO_ITEMS]))
        }
        Some(name) => {
            let command = permitted(realm, account, name)?;
            let identity =
                Identity { category: "automation", kind: "command-node", name: Some(command.name) };
            Ok(info(node.as_deref(), &[identity], &[ns::COMMANDS, ns::DISCO_INFO, ns::DATA_FORMS]))
        }
    }
}

/// What the domain is and can, the same for everybody.
pub(crate) fn server_info(node: Option<&str>) -> Vec<u8> {
    let server = Identity { category: "server", kind: "im", name: Some("Chaski") };
    info(node, &[server], &features(Scope::Domain))
}

/// `disco#items` of the domain: nothing, or the commands that this account may use (XEP-0050 §2.2).
pub(crate) fn domain_items(
    realm: &Realm,
    account: &Account,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    let node = query.attr("node");
    match node.as_deref() {
        None => Ok(items(None, &realm.domain, &[])),
        Some(ns::COMMANDS) => {
            let visible: Vec<_> = commands::visible(realm, account).collect();
            Ok(items(node.as_deref(), &realm.domain, &visible))
        }
        Some(name) => {
            permitted(realm, account, name)?;
            Ok(items(node.as_deref(), &realm.domain, &[]))
        }
    }
}

fn permitted(realm: &Realm, account: &Account, node: &str) -> Result<&'static AdHoc, StanzaCondition> {
    let command = commands::find(node).ok_or(StanzaCondition::ItemNotFound)?;
    if commands::may_use(realm, account, command) { Ok(command) } else { Err(StanzaCondition::Forbidden) }
}

/// `disco#info` of an account's bare JID or one of its nodes. `asker`: another account, of which the caller has checked
/// that it may know of this one.
pub(crate) fn account_info(
    account: &Account,
    asker: Option<&Asker>,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    let Some(node) = query.attr("node") else {
        let registered = Identity { category: "account", kind: "registered", name: None };
        let pep = Identity { category: "pubsub", kind: "pep", name: None };
        return Ok(info(None, &[registered, pep], &features(Scope::Account)));
    };
    if !pep::is_visible(account, asker, &node) {
        return Err(StanzaCondition::ItemNotFound);
    }
    let leaf = Identity { category: "pubsub", kind: "leaf", name: None };
    Ok(info(Some(&node), &[leaf], &[ns::PUBSUB]))
}

/// `disco#items` of an account's bare JID: its nodes that the asker may see; of a node: the ids of its items. The account's
/// sessions are told by presence only.
pub(crate) fn account_items(
    account: &Account,
    asker: Option<&Asker>,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    let node = query.attr("node");
    let found: Vec<_> = match node.as_deref() {
        None => pep::visible(account, asker).map(|name| ("node", name)).collect(),
        Some(name) if pep::is_visible(account, asker, name) => {
            pep::item_ids(account, name).map(|id| ("name", id)).collect()
        }
        Some(_) => return Err(StanzaCondition::ItemNotFound),
    };
    Ok(xml(|writer| {
        writer.open_ns("query", ns::DISCO_ITEMS).attr_opt("node", node.as_deref());
        for (attribute, value) in found {
            writer.open("item").attr("jid", &account.bare).attr(attribute, value).close();
        }
    }))
}

fn info(node: Option<&str>, identities: &[Identity<'_>], features: &[&str]) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("query", ns::DISCO_INFO).attr_opt("node", node);
        for identity in identities {
            writer.open("identity").attr("category", identity.category).attr("type", identity.kind);
            writer.attr_opt("name", identity.name).close();
        }
        for feature in features {
            writer.open("feature").attr("var", feature).close();
        }
    })
}

fn items(node: Option<&str>, jid: &str, commands: &[&AdHoc]) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("query", ns::DISCO_ITEMS).attr_opt("node", node);
        for command in commands {
            writer
                .open("item")
                .attr("jid", jid)
                .attr("node", command.node)
                .attr("name", command.name)
                .close();
        }
    })
}
