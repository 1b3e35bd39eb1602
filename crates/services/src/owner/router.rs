//! The router: the one path of every stanza from its sender's session to whom it is for, across shards.
//!
//! A client's stanza is checked and brought into its stored form ([`client`], [`compose`]), becomes a [`RoutedStanza`], goes to
//! the owner of its recipient (perhaps as an [`Envelope`] through another shard's queue), and is handled there
//! ([`receive`]): a message goes into the mailbox, presence and IQs to their rooms or a session. What can't be handled is
//! refused with one error ([`refuse`]). Called by `shard`. Calls the rooms and [`crate::owner::mailbox`].
//! Specification: RFC 6120 §8, §10; RFC 6121 §8.

mod broadcasts;
mod client;
mod compose;
mod receive;
mod refuse;
mod strangers;

pub(crate) use refuse::Refuse;
