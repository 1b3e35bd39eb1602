//! The router: the one path of every stanza from its sender's session to its recipient, across shards.
//!
//! A client's stanza is checked and brought into its stored form ([`client`], [`compose`]). It becomes a routed stanza, which
//! goes to the shard that owns the recipient's account, as a [`Letter`](crate::effects::letter::Letter) if that is another shard,
//! and is handled there ([`receive`]): a message is put into the mailbox; presence and IQs go to their rooms or to a session. A
//! stanza that can't be handled is refused with one error ([`refuse`]). Called by [`super::gate`] for a client's stanza, by
//! [`super::settle`] for a stanza that a room has posted, and by [`super::links`] for a stanza from another shard. Calls the
//! rooms and [`crate::owner::mailbox`].
//! Specification: RFC 6120 §8, §10; RFC 6121 §8.

mod broadcasts;
mod client;
mod compose;
mod receive;
mod refuse;
mod strangers;

pub(crate) use refuse::Refuse;
