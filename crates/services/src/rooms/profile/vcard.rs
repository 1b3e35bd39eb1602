//! The vCard (XEP-0054): stored without a picture, and shown with the avatar as its picture.
//!
//! A vCard is always set as a whole: one without `PHOTO` removes the avatar, one with another picture replaces it (XEP-0398
//! §3.2). Pure except for the two doors.

use super::avatar;
use crate::account::Account;
use crate::account::nodes::document::read_payload;
use crate::account::nodes::payloads;
use crate::account::nodes::payloads::Payload;
use crate::account::nodes::{Access, Config, NewItem, Nodes};
use crate::account::photo::Picture;
use crate::account::photo::shown as shown_photo;
use crate::account::viewer;
use crate::changes::nodes as nodes_change;
use crate::changes::nodes::Outcome;
use crate::effects::iq::{Asker, Reply, Request};
use crate::effects::turn::Turn;
use crate::effects::turn::errand::Errand;
use crate::fault;
use crate::fault::Fault;
use crate::wire::SessionId;
use chaski_xmpp::xml;
use chaski_xmpp::{ElementRef, StanzaCondition, StanzaError, ns};

/// The node of the vCard's text. No client can name it: no XML has this character.
use crate::account::nodes::VCARD_NODE as NODE;
const ITEM: &str = "vcard";
/// Longest text: with the largest picture it still fits into a stanza.
const TEXT_BYTES_MAX: usize = 48 * 1024;

/// A vCard that is to be set.
struct NewCard {
    /// Its elements except the picture, each with its own namespace declaration.
    text: String,
    picture: Option<(Picture, String)>,
}

impl NewCard {
    fn read(card: &ElementRef<'_>) -> Result<Self, Fault> {
        let (mut text, mut picture) = (Vec::new(), None);
        for child in card.children() {
            let binval = child.child("BINVAL", ns::VCARD).filter(|_| child.is("PHOTO", ns::VCARD));
            match binval {
                // A client without a picture may send an empty one.
                Some(binval) if binval.text().trim().is_empty() => {}
                Some(binval) if picture.is_none() => {
                    let mime = child.child("TYPE", ns::VCARD).map(|kind| kind.text().into_owned());
                    picture = Some((Picture::read(&binval.text())?, mime.unwrap_or_default()));
                }
                Some(_) => {}
                None => child.write_standalone(&mut text),
            }
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(StanzaError::new(StanzaCondition::NotAcceptable).with_text("the vCard is too long"));
        }
        let text = String::from_utf8(text).expect("what was validated is UTF-8");
        Ok(Self { text, picture })
    }

    fn put(&self, nodes: &mut Nodes, now_unix_ms: u64) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::default();
        let secret = Config { access: Access::Whitelist, ..Config::default() };
        let item = NewItem { id: ITEM, payload: &self.text, now_unix_ms };
        outcome.writes = nodes.publish(NODE, item, None, secret)?;
        let shown = shown_photo(nodes);
        match &self.picture {
            Some((picture, _)) if shown.as_ref().is_some_and(|shown| shown.sha1 == picture.sha1) => {}
            Some((picture, mime)) => {
                let (data, metadata) = avatar::payloads(picture, mime);
                let id = picture.id();
                for (node, payload) in [(ns::AVATAR_DATA, data), (ns::AVATAR_METADATA, metadata)] {
                    let item = NewItem { id: &id, payload: &payload, now_unix_ms };
                    outcome.add(nodes_change::publish(nodes, node, item, None)?);
                }
            }
            None if shown.is_some() => {
                let item = NewItem { id: "none", payload: avatar::NONE, now_unix_ms };
                outcome.add(nodes_change::publish(nodes, ns::AVATAR_METADATA, item, None)?);
                outcome.writes.extend(nodes.purge(ns::AVATAR_DATA).unwrap_or_default());
            }
            None => {}
        }
        Ok(Outcome { payload: Vec::new(), ..outcome })
    }
}

/// An account's own session asks for its vCard, or sets it.
pub(super) fn asked_by_owner(
    turn: &mut Turn<'_>,
    account: &mut Account,
    _session: SessionId,
    request: &Request<'_>,
    reply: Reply,
) {
    if !request.child.is("vCard", ns::VCARD) {
        return reply.error(turn.outbox, StanzaCondition::ServiceUnavailable);
    }
    if request.is_get {
        return show(turn, account, reply, (true, true), false);
    }
    match NewCard::read(&request.child) {
        Ok(card) => {
            let now_unix_ms = turn.unix_ms;
            nodes_change::change(turn, reply, move |nodes, _| card.put(nodes, now_unix_ms));
        }
        Err(fault) => reply.error(turn.outbox, fault),
    }
}

/// Another account asks for the vCard.
pub(super) fn asked_by_other(
    turn: &mut Turn<'_>,
    account: &mut Account,
    asker: Asker,
    request: &Request<'_>,
    reply: Reply,
) {
    let viewer = asker.viewer();
    let shows = (viewer::shows_photo(account, viewer), viewer::shows_text(account, viewer));
    if !request.gets("vCard", ns::VCARD) || shows == (false, false) {
        // The answer is the same as for an account that does not exist.
        return reply.error(turn.outbox, StanzaCondition::ServiceUnavailable);
    }
    if turn.busy.is_too_busy_for_others() {
        return reply.error(turn.outbox, fault::BUSY);
    }
    show(turn, account, reply, shows, true);
}

/// Answers with the parts of the vCard that may be shown: picture, text. If there is nothing to show, another account
/// (`to_other`) gets the error for an account that does not exist (XEP-0054 §3.3), and the owner an empty vCard.
fn show(turn: &mut Turn<'_>, account: &Account, reply: Reply, (photo, text): (bool, bool), to_other: bool) {
    let empty = Nodes::default();
    let nodes = account.nodes.as_deref().unwrap_or(&empty);
    let photo = shown_photo(nodes).filter(|_| photo);
    let id = photo.as_ref().map(|photo| photo.id()).unwrap_or_default();
    let parts = [(NODE, ITEM, text), (ns::AVATAR_DATA, &*id, photo.is_some())];
    let mut places = [None, None];
    let mut keys = Vec::new();
    let mut here = [None, None];
    for (at, (node, item, wanted)) in parts.into_iter().enumerate() {
        let found = nodes.get(node).filter(|_| wanted).and_then(|node| Some((node, node.item(item)?)));
        match found.map(|(node, item)| payloads::payload(account.id, node, item)) {
            Some(Payload::Here(payload)) => here[at] = Some(payload.into_string()),
            Some(Payload::Stored(key)) => {
                places[at] = Some(keys.len());
                keys.push(key);
            }
            None => {}
        }
    }
    // A vCard that was set and is empty exists.
    if to_other && keys.is_empty() && here.iter().all(Option::is_none) {
        return reply.error(turn.outbox, StanzaCondition::ServiceUnavailable);
    }
    let mime = photo.map(|photo| photo.mime).unwrap_or_default();
    turn.outbox.errand(Errand::read(keys, move |turn, _, found| {
        match found {
            Ok(found) => {
                let read = |at: usize| read_payload(&found.get(places[at]?)?.as_ref()?.value);
                let text = here[0].clone().or_else(|| read(0)).unwrap_or_default();
                let data = here[1].clone().or_else(|| read(1));
                reply.result(turn.outbox, &whole(&text, &mime, data.as_deref()));
            }
            Err(error) => reply.error(turn.outbox, fault::not_kept(&error)),
        }
        None
    }));
}

/// The vCard with its picture, which comes from the item of the avatar's data node.
fn whole(text: &str, mime: &str, data: Option<&str>) -> Vec<u8> {
    let picture = data.and_then(|data| {
        let stanza = chaski_xmpp::Stanza::parse(data.as_bytes()).ok()?;
        Some(stanza.root().text().into_owned())
    });
    xml(|writer| {
        writer.open_ns("vCard", ns::VCARD).raw(text.as_bytes());
        if let Some(picture) = picture {
            writer.open("PHOTO").leaf("TYPE", mime).leaf("BINVAL", &picture).close();
        }
    })
}
