//! Call proposals in a backlog (XEP-0353): a proposal that waited in the mailbox is sent together with the end of its call.
//!
//! A client rings when it receives a `<propose/>`, however old, and stops ringing when it receives a message that the call was
//! retracted or answered elsewhere. A backlog is sent in windows that wait for acknowledgements. So that no client rings between
//! two windows, a window ends before a proposal whose end is not in the same window, and the next window begins with that
//! proposal. Called by [`super::deliver_backlog`] only for a window that is followed by another.
//! Promises: the order of messages stays as it is; a proposal is put off by one window at most; only the first window may be
//! shorter than half of its usual length for this. Limits: if the end of the call is further away than the length of a window,
//! the client does ring; so it may for another call in a window that begins with a proposal put off before.

use chaski_xmpp::stored::Has;
use chaski_xmpp::{ElementRef, Stored, ns};

/// How many of the messages go into this window. `None` stands for a message that could not be parsed.
pub(super) fn cut(messages: &[Option<Stored>]) -> usize {
    let mut open: Vec<(usize, String)> = Vec::new();
    for (place, message) in messages.iter().enumerate() {
        let Some(message) = message.as_ref().filter(|message| message.has(Has::CALL)) else { continue };
        let Ok(stanza) = message.look_into() else { continue };
        let Some(said) = stanza.children().find(|child| child.ns() == ns::JINGLE_MESSAGE) else { continue };
        let Some(id) = said.attr("id") else { continue };
        if said.name() == "propose" {
            open.push((place, id.into_owned()));
        } else if ends(&said) {
            open.retain(|(_, proposed)| *proposed != *id);
        }
    }
    // The first message of a window goes in any case. In a window that begins with a proposal put off before, at least half of
    // the messages go: otherwise somebody who sends nothing but proposals would have each of them read by itself.
    let has_waited = open.first().is_some_and(|(place, _)| *place == 0);
    let least = if has_waited { messages.len().div_ceil(2) } else { 1 };
    let first_open = open.iter().map(|(place, _)| *place).find(|place| *place >= least);
    first_open.unwrap_or(messages.len())
}

/// Whether this element ends a call, so that the client stops ringing.
fn ends(said: &ElementRef<'_>) -> bool {
    matches!(said.name(), "retract" | "accept" | "proceed" | "reject" | "finish")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(texts: &[&str]) -> Vec<Option<Stored>> {
        let message = |text: &&str| {
            let said = match text.split_once(' ') {
                Some((name, id)) => format!("<{name} xmlns='urn:xmpp:jingle-message:0' id='{id}'/>"),
                None => format!("<body>{text}, urn:xmpp:jingle-message:0</body>"),
            };
            Some(Stored::of(format!("<message>{said}</message>").into_bytes()))
        };
        texts.iter().map(message).collect()
    }

    #[test]
    fn a_window_ends_before_a_call_whose_end_it_does_not_hold() {
        for (texts, sent) in [
            (&["a", "b"][..], 2),
            (&["a", "propose 1", "b", "retract 1"], 4),
            (&["a", "propose 1", "b"], 1),
            (&["a", "propose 1", "propose 2", "retract 1"], 2),
            (&["a", "propose 1", "retract 2"], 1),
            (&["a", "propose 1", "accept 1", "propose 2", "finish 2"], 5),
            // It has waited for a window already.
            (&["propose 1", "a", "b"], 3),
            (&["propose 1", "a", "propose 2"], 2),
            (&["a", "retract 1", "ringing 1"], 3),
            // Nothing but proposals: the first window is short, and no other.
            (&["a", "propose 1", "propose 2", "propose 3"], 1),
            (&["propose 1", "propose 2", "propose 3", "propose 4"], 2),
        ] {
            assert_eq!(cut(&messages(texts)), sent, "{texts:?}");
        }
    }
}
