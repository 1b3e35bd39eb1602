//! The notice of a gap: what a client gets in place of messages that are lost.
//!
//! Called by [`super`] when it reads a gap from the mailbox. The notice is a headline of the server with an element for
//! programs and a text for everybody else; it is sent like a message, also with `<delay/>`, until the first client has acknowledged it.
//! Specification: docs/protocol.md "A gap".

use crate::owner::context::Context;
use crate::owner::desk::Desk;
use chaski_store::secrets::Secret;
use chaski_store::{Gap, MessageId, Seq};
use chaski_xmpp::write::{Header, Writer, stanza_id};
use chaski_xmpp::{Kind, Stored, datetime, ns};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::Arc;

/// The notice of a gap, as a message.
pub(super) fn told(desk: &mut Desk, ctx: &Context<'_>, bare: &str, seq: Seq, gap: Gap) -> Stored {
    let realm = Arc::clone(&desk.realm);
    let id = identity(realm.secrets.of_ids(ctx.unix_ms), bare, seq);
    let (since, until) = (ctx.shown(gap.since_unix_ms), ctx.shown(gap.until_unix_ms));
    let shown = Gap { since_unix_ms: since, until_unix_ms: until, ..gap };
    desk.compose(|out| write(out, &realm.domain, bare, id, shown))
}

/// The stanza-id of the notice: the same each time that the same gap is told, another one when the gap has grown.
fn identity(secret: &Secret, bare: &str, seq: Seq) -> MessageId {
    let mut hasher = SipHasher13::new_with_key(secret);
    hasher.write(b"gap\0");
    hasher.write(bare.as_bytes());
    hasher.write_u64(seq.0);
    MessageId(hasher.finish128().as_u128())
}

fn write(out: &mut Vec<u8>, domain: &str, bare: &str, id: MessageId, gap: Gap) {
    let MessageId(id) = id;
    let count = gap.messages.to_string();
    let (since, until) = (datetime::format(gap.since_unix_ms), datetime::format(gap.until_unix_ms));
    let text = match gap.messages {
        1 => "1 message to you is lost: it waited for too long, or the server's disk damaged it.".to_owned(),
        count => format!(
            "{count} messages to you are lost: they waited for too long, or the server's disk damaged them."
        ),
    };
    let mut own_id = Vec::with_capacity(128);
    stanza_id(&mut own_id, bare, id);
    let header = Header { from: Some(domain), to: Some(bare), id: None, type_attr: Some("headline") };
    let mut writer = Writer::new(out);
    header.open(&mut writer, Kind::Message);
    writer.open("body").text(&text).close();
    writer.open_ns("gap", ns::MAILBOX).attr("messages", &count);
    writer.attr("since", &since).attr("until", &until).close();
    writer.raw(&own_id).close();
}
