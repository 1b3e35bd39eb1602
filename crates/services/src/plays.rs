//! Plays: what an outsider sees of the shards, as short scenes with named people. See [`crate::testing::Stage`].

mod addressing;
mod admission;
mod blocking;
mod books;
mod bursts;
mod calls;
mod carbons;
mod chaos;
mod claims;
mod commands;
mod directory;
mod gaps;
mod inactive;
mod interests;
mod letters;
mod links;
mod loads;
mod managed;
mod messages;
mod moving;
mod oracle;
mod order;
mod pep;
mod pressure;
mod privacy;
mod private;
mod profiles;
mod registered;
mod removal;
mod requests;
mod roster_versions;
mod sessions;
mod shards;
mod shares;
mod strangers;
mod traced;
mod turns;
mod unhurried;
mod uploads;

use crate::testing::{Client, Stage};

const ROMEO: &str = "+15551230001";
const JULIET: &str = "+15551230002";
const NURSE: &str = "+15551230003";

/// The bare JID.
fn jid(local: &str) -> String {
    format!("{local}@{}", crate::testing::DOMAIN)
}

/// A chat message with this body.
fn chat(to: &str, body: &str) -> String {
    format!("<message to='{}' type='chat'><body>{body}</body></message>", jid(to))
}

/// What is between `<body>` and its end in each message.
fn bodies(stanzas: &[String]) -> Vec<&str> {
    stanzas
        .iter()
        .filter_map(|stanza| stanza.split_once("<body>")?.1.split_once("</body>"))
        .map(|b| b.0)
        .collect()
}

/// Takes the bodies a client has received.
fn heard(stage: &mut Stage, client: Client) -> Vec<String> {
    bodies(&stage.received(client)).into_iter().map(String::from).collect()
}

/// The condition of a stanza error.
fn condition(stanza: &str) -> &str {
    let after = stanza.split_once("<error ").map_or("", |(_, after)| after);
    let name = after.split_once("><").map_or("", |(_, name)| name);
    name.split([' ', '>', '/']).next().unwrap_or_default()
}
