//! Plays of presence and subscriptions: people with phones, on two shards, as their clients see it.

mod broadcast;
mod fanout;
mod subscriptions;

use crate::testing::{Client, DOMAIN, Stage};
use chaski_xmpp::{Stanza, ns};

const ROMEO: &str = "+15551230001";
const JULIET: &str = "+15551230002";
const NURSE: &str = "+15551230003";

fn jid(local: &str) -> String {
    format!("{local}@{DOMAIN}")
}

/// Sends presence of this type to an account's bare JID.
fn tell(stage: &mut Stage, client: Client, kind: &str, to: &str) {
    stage.send(client, &format!("<presence type='{kind}' to='{}'/>", jid(to)));
}

/// Takes what a client has received and says it in short: `available from …/balcony`, `push … both`, `error …`.
fn seen(stage: &mut Stage, client: Client) -> Vec<String> {
    stage.stanzas(client).iter().map(|stanza| say(stanza)).collect()
}

fn say(text: &str) -> String {
    let stanza = Stanza::parse(text.as_bytes()).unwrap();
    let from = stanza.from().unwrap_or_default().replace(&format!("@{DOMAIN}"), "");
    if let Some(error) = stanza.child("error", ns::CLIENT) {
        return format!("error {}", error.children().next().unwrap().name());
    }
    if let Some(query) = stanza.child("query", ns::ROSTER) {
        return query.children().map(|item| say_item(&item)).collect::<Vec<_>>().join(", ");
    }
    let kind = stanza.type_attr().map_or("available".into(), |kind| kind.into_owned());
    format!("{kind} from {from}")
}

fn say_item(item: &chaski_xmpp::ElementRef<'_>) -> String {
    let attr = |name| item.attr(name).unwrap_or_default().replace(&format!("@{DOMAIN}"), "");
    let mut said = format!("item {} {}", attr("jid"), attr("subscription"));
    if !attr("ask").is_empty() {
        said.push_str(" asked");
    }
    if !attr("approved").is_empty() {
        said.push_str(" approved");
    }
    said
}

/// A client that has asked for its roster and sent initial presence; what that brought is dropped.
fn arrive(stage: &mut Stage, local: &str, resource: &str) -> Client {
    let client = stage.login(local, resource);
    stage.send(client, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    stage.send(client, "<presence/>");
    stage.received(client);
    client
}

/// Both see each other's presence from now on; what that brought is dropped.
fn befriend(stage: &mut Stage, a: (Client, &str), b: (Client, &str)) {
    tell(stage, a.0, "subscribe", b.1);
    tell(stage, b.0, "subscribed", a.1);
    tell(stage, b.0, "subscribe", a.1);
    tell(stage, a.0, "subscribed", b.1);
    stage.received(a.0);
    stage.received(b.0);
}

/// The roster as its owner gets it.
fn roster(stage: &mut Stage, client: Client) -> String {
    stage.received(client);
    stage.send(client, "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    seen(stage, client).pop().unwrap()
}
