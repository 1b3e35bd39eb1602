//! The answers of a command: its status with a form or a note, or an error with XEP-0050's own condition (§4.4).

use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::xml;
use chaski_xmpp::{Header, Kind, StanzaCondition, ns, write};

/// What is needed to answer a stage of a command, now or when the work is done.
pub(super) struct Reply {
    /// The request's id.
    pub(super) id: String,
    /// The `to` of the request: the domain, or the account itself; `None`: the request had none.
    pub(super) from: Option<String>,
    /// The asker's full JID.
    pub(super) to: String,
    /// The asker's account.
    pub(super) account: AccountId,
    /// The asker's session.
    pub(super) session: SessionId,
    /// The command's node.
    pub(super) node: String,
    /// The command's session id as the request had it, or "".
    pub(super) session_id: String,
}

/// Why a stage is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) condition: StanzaCondition,
    /// The application-specific condition of XEP-0050.
    pub(super) specific: Option<&'static str>,
    pub(super) text: Option<String>,
}

impl Fault {
    pub(super) fn specific(condition: StanzaCondition, specific: &'static str) -> Self {
        Self { condition, specific: Some(specific), text: None }
    }

    pub(super) fn with_text(condition: StanzaCondition, text: impl Into<String>) -> Self {
        Self { condition, specific: None, text: Some(text.into()) }
    }
}

impl From<StanzaCondition> for Fault {
    fn from(condition: StanzaCondition) -> Self {
        Self { condition, specific: None, text: None }
    }
}

impl Reply {
    /// Answers with this status; `payload` is a form or empty.
    pub(super) fn status(&self, turn: &mut Turn<'_>, session_id: &str, status: &str, payload: &[u8]) {
        let payload = xml(|writer| {
            writer.open_ns("command", ns::COMMANDS).attr("node", &self.node);
            writer.attr("sessionid", session_id).attr("status", status);
            if status == "executing" {
                writer.open("actions").attr("execute", "complete").open("complete").close().close();
            }
            writer.raw(payload);
        });
        self.post(turn, "result", &payload);
    }

    /// Answers that the command is completed; the note says what was done.
    pub(super) fn completed(&self, turn: &mut Turn<'_>, session_id: &str, note: &str) {
        let payload = xml(|writer| {
            writer.open("note").attr("type", "info").text(note);
        });
        self.status(turn, session_id, "completed", &payload);
    }

    /// Answers with an error.
    pub(super) fn fault(&self, turn: &mut Turn<'_>, fault: &Fault) {
        let payload = xml(|writer| {
            writer.open("error").attr("type", fault.condition.default_type().name());
            writer.open_ns(fault.condition.name(), ns::STANZA_ERRORS).close();
            if let Some(text) = &fault.text {
                writer.open_ns("text", ns::STANZA_ERRORS).text(text).close();
            }
            if let Some(specific) = fault.specific {
                writer.open_ns(specific, ns::COMMANDS).close();
            }
        });
        self.post(turn, "error", &payload);
    }

    fn post(&self, turn: &mut Turn<'_>, type_attr: &str, payload: &[u8]) {
        let header = Header {
            from: self.from.as_deref(),
            to: Some(&self.to),
            id: Some(&self.id),
            type_attr: Some(type_attr),
        };
        let mut out = Vec::with_capacity(128 + payload.len());
        write::stanza(&mut out, Kind::Iq, &header, payload);
        turn.outbox.to_session(self.session, out);
    }
}
