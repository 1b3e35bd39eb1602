//! Ad-hoc commands of XEP-0133. Seams first (called by the router); the room fills them in.

use crate::command::Outcome;
use crate::directory::Account;
use crate::outbox::Turn;
use crate::wire::SessionId;

/// The outcome of a [`crate::outbox::Post::Command`] of this session.
pub fn finished(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, memo: &str, outcome: Outcome) {
    let _ = (turn, account, session, memo, outcome);
}
