//! The states of a negotiation.

#[derive(Debug)]
pub(super) enum State {}
