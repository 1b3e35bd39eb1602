//! Service discovery (XEP-0030): identities, features and items of the domain and of an account's bare JID.
//!
//! Features come from the declarations of the rooms ([`super::specs`]), so nothing is announced that no room has declared. Pure:
//! returns the payloads of results. Called by [`super`], which has checked that the asker may ask.

use super::own_caps;
use super::rooms::features;
use crate::account::Account;
use crate::effects::iq::{Asker, Scope, Xep};
use crate::realm::Realm;
use crate::rooms::commands::{self, AdHoc};
use crate::rooms::pep;
use chaski_xmpp::xml;
use chaski_xmpp::{ElementRef, StanzaCondition, ns};

/// What this room implements.
pub(super) const SPEC: &[Xep] = &[Xep::new(
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
pub(super) fn domain_info(
    realm: &Realm,
    account: &Account,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    let node = query.attr("node");
    match node.as_deref() {
        None => Ok(server_info(realm, None)),
        Some(hash) if own_caps::is_own(realm, hash) => Ok(server_info(realm, Some(hash))),
        Some(node) => commands_info(realm, account, node),
    }
}

/// `disco#info` of the domain, the same for everybody.
pub(super) fn server_info(realm: &Realm, node: Option<&str>) -> Vec<u8> {
    let server = Identity { category: "server", kind: "im", name: Some("Chaski") };
    let scopes: &[Scope] = match realm.relays.relays.is_empty() {
        true => &[Scope::Domain],
        false => &[Scope::Domain, Scope::DomainWithRelays],
    };
    info(node, &[server], &features(scopes))
}

/// `disco#items` of the domain: its services, or the commands that this account may use (XEP-0050 §2.2).
pub(super) fn domain_items(
    realm: &Realm,
    account: &Account,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    match query.attr("node").as_deref() {
        None => Ok(services(realm)),
        Some(node) => commands_items(realm, account, &realm.domain, node),
    }
}

fn services(realm: &Realm) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("query", ns::DISCO_ITEMS);
        if let Some(uploads) = &realm.uploads {
            writer.open("item").attr("jid", &uploads.host).attr("name", "HTTP File Upload").close();
        }
    })
}

/// `disco#info` of the list of commands, or of one command.
fn commands_info(realm: &Realm, account: &Account, node: &str) -> Result<Vec<u8>, StanzaCondition> {
    if node == ns::COMMANDS {
        let list = Identity { category: "automation", kind: "command-list", name: Some("Commands") };
        return Ok(info(Some(node), &[list], &[ns::COMMANDS, ns::DISCO_INFO, ns::DISCO_ITEMS]));
    }
    let command = permitted(realm, account, node)?;
    let identity = Identity { category: "automation", kind: "command-node", name: Some(command.name) };
    Ok(info(Some(node), &[identity], &[ns::COMMANDS, ns::DISCO_INFO, ns::DATA_FORMS]))
}

/// `disco#items` of the list of commands, whose items have the JID `jid`; or of one command, which has no items.
fn commands_items(
    realm: &Realm,
    account: &Account,
    jid: &str,
    node: &str,
) -> Result<Vec<u8>, StanzaCondition> {
    if node == ns::COMMANDS {
        let visible: Vec<_> = commands::visible(realm, account, super::rooms::COMMANDS).collect();
        return Ok(items(Some(node), jid, &visible));
    }
    permitted(realm, account, node)?;
    Ok(items(Some(node), jid, &[]))
}

fn permitted(realm: &Realm, account: &Account, node: &str) -> Result<AdHoc, StanzaCondition> {
    let command = commands::find(super::rooms::COMMANDS, node).ok_or(StanzaCondition::ItemNotFound)?;
    if commands::may_use(realm, account, &command) { Ok(command) } else { Err(StanzaCondition::Forbidden) }
}

/// `disco#info` of an account's bare JID for its owner, whom it tells of the domain's commands, too.
pub(super) fn own_info(
    realm: &Realm,
    account: &Account,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    match query.attr("node").as_deref() {
        Some(node) if !pep::is_visible(account, None, node) => commands_info(realm, account, node),
        Some(node) => Ok(node_info(node)),
        None => Ok(bare_info(&[ns::COMMANDS])),
    }
}

/// `disco#items` of an account's bare JID for its owner.
pub(super) fn own_items(
    realm: &Realm,
    account: &Account,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    match query.attr("node").as_deref() {
        Some(node) if !pep::is_visible(account, None, node) => {
            commands_items(realm, account, &account.bare, node)
        }
        node => Ok(nodes_items(account, None, node)),
    }
}

/// `disco#info` of an account's bare JID, or of one of its PEP nodes, for another account. The caller has checked that the other
/// account may know of this one.
pub(super) fn account_info(
    account: &Account,
    asker: &Asker,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    match query.attr("node").as_deref() {
        Some(node) if !pep::is_visible(account, Some(asker), node) => Err(StanzaCondition::ItemNotFound),
        Some(node) => Ok(node_info(node)),
        None => Ok(bare_info(&[])),
    }
}

/// `disco#items` of an account's bare JID for another account: the PEP nodes that it may see; or of a node: the ids of its items.
pub(super) fn account_items(
    account: &Account,
    asker: &Asker,
    query: &ElementRef<'_>,
) -> Result<Vec<u8>, StanzaCondition> {
    match query.attr("node").as_deref() {
        Some(node) if !pep::is_visible(account, Some(asker), node) => Err(StanzaCondition::ItemNotFound),
        node => Ok(nodes_items(account, Some(asker), node)),
    }
}

fn bare_info(more: &[&'static str]) -> Vec<u8> {
    let registered = Identity { category: "account", kind: "registered", name: None };
    let pep = Identity { category: "pubsub", kind: "pep", name: None };
    let mut features = features(&[Scope::Account]);
    features.extend(more);
    features.sort_unstable();
    info(None, &[registered, pep], &features)
}

fn node_info(node: &str) -> Vec<u8> {
    let leaf = Identity { category: "pubsub", kind: "leaf", name: None };
    info(Some(node), &[leaf], &[ns::PUBSUB])
}

/// The PEP nodes that the asker may see (`None`: the owner, who sees all), or the ids of a node's items. Sessions are not among
/// the items: the account's contacts know them by presence.
fn nodes_items(account: &Account, asker: Option<&Asker>, node: Option<&str>) -> Vec<u8> {
    let found: Vec<_> = match node {
        None => pep::visible(account, asker).map(|name| ("node", name)).collect(),
        Some(name) => pep::item_ids(account, name).map(|id| ("name", id)).collect(),
    };
    xml(|writer| {
        writer.open_ns("query", ns::DISCO_ITEMS).attr_opt("node", node);
        for (attribute, value) in found {
            writer.open("item").attr("jid", &account.bare).attr(attribute, value).close();
        }
    })
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

fn items(node: Option<&str>, jid: &str, commands: &[AdHoc]) -> Vec<u8> {
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
