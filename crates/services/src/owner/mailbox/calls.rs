//! Call proposals in a backlog (XEP-0353): one that waited is sent together with what became of it.
//!
//! A client rings when it is told of a proposal, whatever its age, and stops when it is told that the call was taken back or
//! taken elsewhere. A backlog comes in windows that wait for acknowledgements: so that nothing rings for as long as that
//! takes, a window ends before a proposal of which it does not hold the end, and the next one begins with it. Called by
//! [`super::deliver_backlog`] for a window that more follows, and for no other. Promises: order stays as it is, and a
//! proposal never waits for more than one window; where its end is further away than a window is long, it does ring, and so may one of
//! several calls in the window behind one that has waited. Of the windows none but the first is less than half as long for it.

use chaski_xmpp::stored::Has;
use chaski_xmpp::{ElementRef, Stored, ns};

/// How many of the messages go with this window. `None`: one that could not be read.
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
    // The first of the window goes in any case; behind one that has waited so, half a window goes at least: who sends nothing but
    // proposals must not have each of them read by itself.
    let has_waited = open.first().is_some_and(|(place, _)| *place == 0);
    let least = if has_waited { messages.len().div_ceil(2) } else { 1 };
    let first_open = open.iter().map(|(place, _)| *place).find(|place| *place >= least);
    first_open.unwrap_or(messages.len())
}

/// Whether nothing rings any more behind this.
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
