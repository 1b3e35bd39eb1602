//! Service discovery (XEP-0030): what the domain and an account's bare JID are and can.
//!
//! Features come from the one table [`crate::iq::SPECS`], so nothing is announced that no room has declared.
//! Pure: payloads of results. Called by [`crate::iq`], which has checked who may ask.

use crate::commands::{self, AdHoc};
use crate::context::Realm;
use crate::directory::Account;
use crate::iq::{Scope, Xep, features, xml};
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
        None => {
            let server = Identity { category: "server", kind: "im", name: Some("Chaski") };
            Ok(info(None, &server, &features(Scope::Domain)))
        }
        Some(ns::COMMANDS) => {
            let list = Identity { category: "automation", kind: "command-list", name: Some("Commands") };
            Ok(info(node.as_deref(), &list, &[ns::COMMANDS, ns::DISCO_INFO, ns::DISCO_ITEMS]))
        }
        Some(name) => {
            let command = permitted(realm, account, name)?;
            let identity =
                Identity { category: "automation", kind: "command-node", name: Some(command.name) };
            Ok(info(node.as_deref(), &identity, &[ns::COMMANDS, ns::DISCO_INFO, ns::DATA_FORMS]))
        }
    }
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

/// `disco#info` of an account's bare JID. The caller has checked that the asker may know.
pub(crate) fn account_info(query: &ElementRef<'_>) -> Result<Vec<u8>, StanzaCondition> {
    if query.attr("node").is_some() {
        return Err(StanzaCondition::ItemNotFound);
    }
    let registered = Identity { category: "account", kind: "registered", name: None };
    Ok(info(None, &registered, &features(Scope::Account)))
}

/// `disco#items` of an account's bare JID: nothing. Its sessions are told by presence only.
pub(crate) fn account_items(query: &ElementRef<'_>) -> Result<Vec<u8>, StanzaCondition> {
    match query.attr("node") {
        None => Ok(items(None, "", &[])),
        Some(_) => Err(StanzaCondition::ItemNotFound),
    }
}

fn info(node: Option<&str>, identity: &Identity<'_>, features: &[&str]) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("query", ns::DISCO_INFO).attr_opt("node", node);
        writer.open("identity").attr("category", identity.category).attr("type", identity.kind);
        writer.attr_opt("name", identity.name).close();
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
