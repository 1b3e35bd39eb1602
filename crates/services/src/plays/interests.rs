//! Friends with modern clients: they announce what they can, and answer when they are asked.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Juliet gets a subscription to Romeo's presence.
pub(super) fn subscribe(stage: &mut Stage, juliet: Client, romeo: Client) {
    stage.send(juliet, &format!("<presence to='{}' type='subscribe'/>", jid(ROMEO)));
    stage.send(romeo, &format!("<presence to='{}' type='subscribed'/>", jid(JULIET)));
}

/// Romeo and Juliet get each other's presence.
pub(super) fn befriend(stage: &mut Stage, romeo: Client, juliet: Client) {
    subscribe(stage, juliet, romeo);
    stage.send(romeo, &format!("<presence to='{}' type='subscribe'/>", jid(JULIET)));
    stage.send(juliet, &format!("<presence to='{}' type='subscribed'/>", jid(ROMEO)));
    stage.stanzas(romeo);
    stage.stanzas(juliet);
}

fn features(interests: &[&str]) -> Vec<String> {
    let mut features: Vec<_> = interests.iter().map(|node| format!("{node}+notify")).collect();
    features.push("urn:xmpp:ping".into());
    features.sort_unstable();
    features
}

/// The presence of a client with these interests.
pub(super) fn presence_of(interests: &[&str]) -> String {
    let features: String = features(interests).iter().map(|feature| format!("{feature}<")).collect();
    let ver = STANDARD.encode(Sha1::digest(format!("client/phone//<{features}").as_bytes()));
    format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:client' ver='{ver}'/></presence>"
    )
}

/// The id of the server's question, if it has asked one.
pub(super) fn question(stage: &mut Stage, client: Client) -> Option<String> {
    let got = stage.stanzas(client);
    let asked = got.iter().find(|stanza| stanza.contains("disco#info") && stanza.contains("type='get'"))?;
    Some(asked.split("id='").nth(1)?.split('\'').next()?.to_owned())
}

/// The client answers with these interests.
pub(super) fn answer(stage: &mut Stage, client: Client, question: &str, interests: &[&str]) {
    let features: String =
        features(interests).iter().map(|feature| format!("<feature var='{feature}'/>")).collect();
    stage.send(
        client,
        &format!(
            "<iq type='result' id='{question}'><query xmlns='http://jabber.org/protocol/disco#info'>\
             <identity category='client' type='phone'/>{features}</query></iq>"
        ),
    );
}

/// A client announces its interests, and answers if it is asked. What it has received.
pub(super) fn announce(stage: &mut Stage, client: Client, interests: &[&str]) -> Vec<String> {
    stage.send(client, &presence_of(interests));
    let mut got = stage.stanzas(client);
    let asked = got.iter().find(|stanza| stanza.contains("disco#info") && stanza.contains("type='get'"));
    let id = asked.map(|stanza| {
        stanza.split("id='").nth(1).unwrap_or_default().split('\'').next().unwrap_or_default().to_owned()
    });
    if let Some(id) = id {
        answer(stage, client, &id, interests);
        got.extend(stage.stanzas(client));
    }
    got
}
