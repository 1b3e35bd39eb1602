//! The answers to a client: the service's properties (XEP-0363 §3), a slot (§4), or an error (§5).

use super::Uploads;
use crate::effects::iq::{Reply, Scope, features};
use crate::effects::turn::Turn;
use chaski_xmpp::xml;
use chaski_xmpp::{ErrorType, StanzaCondition, StanzaError, datetime, ns};

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Larger than any file may be.
    TooLarge,
    /// Too many slots, or bytes, lately.
    TooMany { wait_ms: u64 },
    /// The account's files take all its room; `again_unix_ms`: when that will be over at the latest, if it is known.
    Quota { again_unix_ms: Option<u64> },
    /// The operator has blocked this content.
    Blocked,
    /// An error of RFC 6120.
    Condition(StanzaCondition),
}

impl Refusal {
    pub(super) fn send(self, turn: &mut Turn<'_>, uploads: &Uploads, reply: Reply) {
        match self {
            Self::TooLarge => {
                let text = format!("No file may be larger than {} bytes", uploads.max_file_bytes);
                let detail = xml(|writer| {
                    writer.open_ns("file-too-large", ns::UPLOAD);
                    writer.leaf("max-file-size", &uploads.max_file_bytes.to_string());
                });
                let error = StanzaError::new(StanzaCondition::NotAcceptable).with_type(ErrorType::Modify);
                reply.error(turn.outbox, error.with_text(&text).with_detail(&detail));
            }
            Self::TooMany { wait_ms } => {
                let again_unix_ms = turn.unix_ms.saturating_add(wait_ms);
                wait(turn, reply, "You have uploaded much lately; try again later", Some(again_unix_ms));
            }
            Self::Quota { again_unix_ms } => {
                wait(turn, reply, "Your files take all the room that you have here", again_unix_ms);
            }
            Self::Blocked => {
                let error = StanzaError::new(StanzaCondition::PolicyViolation);
                reply.error(
                    turn.outbox,
                    error.with_text("The operator of this server does not take this file"),
                );
            }
            Self::Condition(condition) => reply.error(turn.outbox, condition),
        }
    }
}

fn wait(turn: &mut Turn<'_>, reply: Reply, text: &str, again_unix_ms: Option<u64>) {
    // Rounded up to the second (XEP-0082), so that the client does not come too early.
    let stamp = again_unix_ms.map(|at| datetime::format(turn.shown(at).next_multiple_of(1_000)));
    let detail =
        stamp.map(|stamp| xml(|writer| _ = writer.open_ns("retry", ns::UPLOAD).attr("stamp", &stamp)));
    let error = StanzaError::new(StanzaCondition::ResourceConstraint).with_type(ErrorType::Wait);
    reply.error(turn.outbox, error.with_text(text).with_detail(detail.as_deref().unwrap_or_default()));
}

pub(super) fn slot(put: &str, get: &str, is_finished: bool) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("slot", ns::UPLOAD);
        writer.open("put").attr("url", put).close();
        writer.open("get").attr("url", get).close();
        if is_finished {
            writer.open_ns("finished", ns::MEDIA).close();
        }
    })
}

/// The answer to `disco#info`; the service has no nodes.
pub(super) fn info(uploads: &Uploads, node: Option<&str>) -> Option<Vec<u8>> {
    if node.is_some() {
        return None;
    }
    Some(xml(|writer| {
        writer.open_ns("query", ns::DISCO_INFO);
        writer.open("identity").attr("category", "store").attr("type", "file");
        writer.attr("name", "HTTP File Upload").close();
        for feature in features(super::SPEC, &[Scope::Upload]) {
            writer.open("feature").attr("var", feature).close();
        }
        writer.open_ns("x", ns::DATA_FORMS).attr("type", "result");
        writer
            .open("field")
            .attr("type", "hidden")
            .attr("var", "FORM_TYPE")
            .leaf("value", ns::UPLOAD)
            .close();
        let most = uploads.max_file_bytes.to_string();
        writer.open("field").attr("var", "max-file-size").leaf("value", &most).close();
    }))
}

pub(super) fn no_items(node: Option<&str>) -> Vec<u8> {
    xml(|writer| _ = writer.open_ns("query", ns::DISCO_ITEMS).attr_opt("node", node))
}
