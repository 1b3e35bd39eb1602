//! The mailbox: puts messages into an account's mailbox, sends them to its sessions, takes acknowledgements.
//!
//! One path for online and offline: a message is appended; each session that it is for and that has kept up is sent it
//! in the same turn, from memory; a session that has not kept up (new, slow, back from elsewhere) reads on from the
//! mailbox in windows that wait for its acknowledgements. The first session to acknowledge deletes the entry.
//! A session may be rewound to the start of the mailbox at any time, because of this invariant: an entry that is in the mailbox
//! but not in a session's queue of unacknowledged stanzas has either never been sent to that session, or was sent on a connection
//! that is lost.
//! Messages that are lost (they grew too old, or the disk damaged them) leave a gap in the mailbox, which is read, sent and
//! acknowledged like a message ([`gap`]).
//! Called by [`super::router`] (messages, presence, receipts), [`super::nonzas`] and [`crate::shard::Shard`] (acknowledgements),
//! [`super::completions`] (reads, gaps), [`super::login`] (resumption), [`super::ending`] and [`super::new_key`]. Calls the
//! store.
//! Specification: RFC 6121 §8.5 (which sessions), XEP-0160, XEP-0198, XEP-0203, docs/protocol.md "A message's fate".

mod calls;
mod gap;
mod standing;

use crate::account::Account;
use crate::account::session::{Mail, Progress};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::realm::Pressure;
use crate::ticket::Purpose;
use crate::wire::SessionId;
use chaski_store::mailbox::ReadStart;
use chaski_store::{
    AccountId, Append, Appended, Charge, Content, Entry, MessageId, ReadLimit, Sender, Seq, Standing,
    StoreError, Ticket,
};
use chaski_xmpp::{JidRef, Stored};

/// After this long, a session whose mailbox could not be read is tried again.
const RETRY_MS: u64 = 2_000;

/// The sender of a message that is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) account: AccountId,
    /// The sender has had much stored lately, so its messages count as heavy for the store's shares.
    pub(crate) is_heavy: bool,
    /// When a client has sent the message; 0 if the server itself has written it.
    pub(crate) sent_unix_ms: u64,
}

/// Whether a message was not in the mailbox yet. If it was, its client has sent it again: it is acknowledged, and nothing else
/// happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsNew(pub(crate) bool);

/// Puts a message into the account's mailbox and sends it to the sessions that have kept up. `resource`: the resource of the full
/// JID to which it was addressed; `None`: it was addressed to the bare JID.
pub(crate) fn append(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    resource: Option<&str>,
    message: (MessageId, By, Stored),
    ticket: Ticket,
) -> Result<IsNew, StoreError> {
    let (id, by, stanza) = message;
    let sender = standing::sender(account, by, &stanza);
    let accepted_unix_ms = ctx.unix_ms;
    let (head, body) = stanza.parts();
    let kept = Content { head, body };
    let append = Append { account: account.id, id, accepted_unix_ms, stanza: kept, sender, ticket };
    let seq = match ctx.store.append(append)? {
        Appended::Queued(seq) => seq,
        Appended::Duplicate => {
            desk.metrics.messages_duplicate_total.inc();
            desk.trace(ctx, account.id, || "not stored: a message that is there already".to_owned());
            return Ok(IsNew(false));
        }
    };
    desk.metrics.messages_stored_total.inc();
    desk.trace(ctx, account.id, || format!("stored: message {}", seq.0));
    offer(desk, ctx, account, resource, &stanza, (Mail { seq, accepted_unix_ms }, by.sent_unix_ms));
    Ok(IsNew(true))
}

/// Charges a message of a blocked sender as if it were put into the account's mailbox, without keeping it, so that the sender
/// can't tell the block from an owner who is away and does not have the sender as a contact. The message is refused with the same
/// error and under the same conditions as a stored one (mailbox or share full, disk nearly full). Otherwise `ticket` completes
/// with the commit that the message would have been in, and its sender is to be kept waiting until then. The charge is given back
/// when the message would have grown too old. The sender's own rate was charged where the message was sent ([`crate::rate`]).
pub(crate) fn charge(
    ctx: &mut Context<'_>,
    account: &Account,
    by: By,
    stanza: &Stored,
    ticket: Ticket,
) -> Result<(), StoreError> {
    let sender = Sender { account: by.account, standing: Standing::Stranger, is_heavy: by.is_heavy };
    let now_unix_ms = ctx.unix_ms;
    ctx.store.charge(Charge { account: account.id, sender, size: stanza.stored_len(), now_unix_ms, ticket })
}

/// Sends a new message to those sessions that it is for and that have kept up.
fn offer(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    resource: Option<&str>,
    stanza: &Stored,
    (mail, sent_unix_ms): (Mail, u64),
) {
    let target = resource.and_then(|resource| account.resource(resource)).map(|session| session.id);
    for session in &mut account.sessions {
        session.note_appended(mail.seq);
        let wanted = target.map_or_else(|| session.presence.takes_messages(), |target| target == session.id);
        match session.progress {
            Progress::Reading { after, rewound, .. } => {
                session.progress = Progress::Reading { after, appended: true, rewound };
            }
            Progress::Behind(_) => {}
            Progress::Live if !wanted => {}
            Progress::Live if session.has_live_room(desk, ctx, stanza.len()) => {
                let id = session.id;
                desk.trace(ctx, account.id, || format!("sent: message {} to session {}", mail.seq.0, id.0));
                desk.metrics.delivery_us.observe_since(sent_unix_ms, ctx.unix_ms);
                session.deliver(desk, ctx, stanza, mail, false);
            }
            Progress::Live => session.progress = Progress::Behind(Seq(mail.seq.0 - 1)),
        }
    }
}

/// Sends a message that is not stored to the connected sessions that it is for and that have kept up. `droppable`: the message is
/// a client's, and is dropped rather than fill a queue behind which the session's own requests wait, since any stranger could
/// stop the session with such messages.
pub(crate) fn pass(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    resource: Option<&str>,
    stanza: &Stored,
    droppable: bool,
) {
    for session in &mut account.sessions {
        let wanted = match resource {
            Some(resource) => *session.resource == *resource,
            None => session.presence.takes_messages() && session.progress == Progress::Live,
        };
        if wanted && droppable {
            let sent = session.send_droppable(desk, ctx, stanza);
            desk.metrics.messages_dropped_total.add(u64::from(!sent));
        } else if wanted {
            session.send(desk, ctx, stanza.clone());
        }
    }
}

/// Sends a session that is behind the next messages of its mailbox, as far as its window allows.
pub(crate) fn read_on(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account, id: SessionId) {
    loop {
        let Some(session) = account.session_mut(id) else { return };
        let Progress::Behind(after) = session.progress else { return };
        if ctx.pressure >= Pressure::Backlog {
            session.answer_anyway(desk, ctx);
            return session.retry_reading(desk, ctx.now_ms + RETRY_MS);
        }
        let Some((messages, bytes)) = session.window(desk, ctx) else {
            if session.conn.is_some() && session.mail_waiting == 0 {
                session.retry_reading(desk, ctx.now_ms + RETRY_MS);
            }
            return;
        };
        let ticket = Purpose::Read(id).ticket();
        match ctx.store.read(account.id, after, ReadLimit { messages, bytes }, ticket) {
            ReadStart::Pending => {
                if let Some(session) = account.session_mut(id) {
                    session.progress = Progress::Reading { after, appended: false, rewound: false };
                }
                return;
            }
            ReadStart::Ready { entries, more } => {
                let after = deliver_backlog(desk, ctx, account, id, after, &entries, more);
                // Nothing can have been appended during this turn, so a session that has read everything has kept up from here
                // on.
                let progress =
                    if more && !entries.is_empty() { Progress::Behind(after) } else { Progress::Live };
                if let Some(session) = account.session_mut(id) {
                    session.progress = progress;
                    session.came_further(desk, ctx);
                }
            }
        }
    }
}

/// The store has read a window of the mailbox from disk for a session.
pub(crate) fn read_done(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    id: SessionId,
    result: Result<(Vec<Entry>, bool), StoreError>,
) {
    let Some(session) = account.session_mut(id) else { return };
    let Progress::Reading { after, appended, rewound } = session.progress else { return };
    let (entries, more) = match result {
        Ok(_) if rewound => {
            session.progress = Progress::Behind(Seq(0));
            return read_on(desk, ctx, account, id);
        }
        Ok(answer) => answer,
        Err(error) => {
            session.retry_reading(desk, ctx.now_ms + RETRY_MS);
            session.progress = Progress::Behind(if rewound { Seq(0) } else { after });
            session.answer_anyway(desk, ctx);
            return tracing::warn!(account = ?account.id, %error, "a mailbox could not be read");
        }
    };
    session.progress = Progress::Behind(after);
    let after = deliver_backlog(desk, ctx, account, id, after, &entries, more);
    let Some(session) = account.session_mut(id) else { return };
    let done = !more && !appended;
    session.progress = if done { Progress::Live } else { Progress::Behind(after) };
    session.came_further(desk, ctx);
    read_on(desk, ctx, account, id);
}

/// Sends a session those of `entries` that are for it and not in its queue already. Returns the position from which to read on.
/// `more`: the mailbox has further entries, so the last of `entries` may be left to the next window ([`calls::cut`]).
fn deliver_backlog(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    id: SessionId,
    after: Seq,
    entries: &[Entry],
    more: bool,
) -> Seq {
    let messages = entries.iter().map(|entry| message(desk, ctx, &account.bare, entry)).collect::<Vec<_>>();
    let count = if more { calls::cut(&messages) } else { messages.len() };
    let owner = account.id;
    for (entry, stanza) in entries.iter().zip(messages).take(count) {
        let Some(stanza) = stanza else {
            desk.metrics.messages_unreadable_total.inc();
            continue;
        };
        let wanted = is_for(account, id, &stanza);
        let mail = Mail { seq: entry.seq, accepted_unix_ms: entry.accepted_unix_ms };
        let Some(session) = account.session_mut(id) else { break };
        if wanted && !session.has_unacknowledged(entry.seq) {
            desk.trace(ctx, owner, || {
                format!("sent from the mailbox: message {} to session {}", mail.seq.0, id.0)
            });
            session.deliver(desk, ctx, &stanza, mail, true);
        }
    }
    entries[..count].last().map_or(after, |entry| entry.seq)
}

/// The stanza as which an entry of the mailbox is sent. An entry that can't be parsed is sent to nobody, and stays until it grows
/// too old.
fn message(desk: &mut Desk, ctx: &Context<'_>, bare: &str, entry: &Entry) -> Option<Stored> {
    if let Some(gap) = entry.gap {
        return Some(gap::told(desk, ctx, bare, entry.seq, gap));
    }
    let Content { head, body } = entry.stanza.clone();
    Stored::from_parts(head, body).ok()
}

/// Whether an entry of the mailbox is for this session: it is addressed to the session's resource, or to the bare JID, or to a
/// resource that no session has.
fn is_for(account: &Account, id: SessionId, stanza: &Stored) -> bool {
    let takes_messages = account.session(id).is_some_and(|session| session.presence.takes_messages());
    if takes_messages && account.sessions.len() == 1 {
        return true;
    }
    let to = stanza.to().unwrap_or_default();
    let target = JidRef::split(&to).resource.and_then(|resource| account.resource(resource));
    target.map_or(takes_messages, |target| target.id == id)
}

/// The client has acknowledged all stanzas up to `h` (XEP-0198 §4).
pub(crate) fn acknowledged(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    id: SessionId,
    h: u32,
) {
    let Some(session) = account.session_mut(id) else { return };
    let Some(managed) = &mut session.managed else { return session.unexpected(desk) };
    managed.requested = false;
    if let Err(error) = session.acknowledge(desk, h) {
        return session.too_high(desk, error);
    }
    if !session.queue.is_empty() {
        session.request(desk, ctx);
    }
    delete(desk, ctx, account);
    read_on(desk, ctx, account, id);
}

/// The client's TCP has acknowledged everything written so far. Used for clients without stream management.
pub(crate) fn confirmed(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account, id: SessionId) {
    let Some(session) = account.session_mut(id) else { return };
    session.confirming = false;
    match &mut session.managed {
        Some(managed) => {
            desk.seqs.clear();
            desk.seqs.append(&mut managed.take_before());
        }
        None => {
            let h = session.queue.sent_count();
            if session.acknowledge(desk, h).is_err() {
                return;
            }
        }
    }
    delete(desk, ctx, account);
    read_on(desk, ctx, account, id);
}

/// A client without stream management has answered the message with this id with a receipt (XEP-0184), so the client has the
/// message.
pub(crate) fn receipted(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    id: SessionId,
    message: &str,
) {
    let Some(session) = account.session(id).filter(|session| session.managed.is_none()) else { return };
    desk.seqs.clear();
    for sent in session.queue.iter() {
        desk.seqs.extend(sent.mail.filter(|_| sent.stanza.is_called(message)).map(|mail| mail.seq));
    }
    delete(desk, ctx, account);
}

/// Deletes the mailbox entries collected in `desk.seqs`.
pub(crate) fn delete(desk: &mut Desk, ctx: &mut Context<'_>, account: &Account) {
    if !desk.seqs.is_empty() {
        desk.metrics.messages_acknowledged_total.add(desk.seqs.len() as u64);
        let count = desk.seqs.len();
        desk.trace(ctx, account.id, || format!("acknowledged and deleted: {count} messages"));
        ctx.store.ack(account.id, &desk.seqs);
        desk.seqs.clear();
    }
}

/// The session takes messages from now on: sends it what waits in the mailbox, from the start.
pub(crate) fn attend(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account, id: SessionId) {
    if ctx.store.usage(account.id).messages == 0 {
        return;
    }
    if let Some(session) = account.session_mut(id) {
        session.rewind();
        read_on(desk, ctx, account, id);
    }
}

/// Rewinds all sessions that take messages to the start of the mailbox. Called when a session has ended, since messages to its
/// full JID are now for the other sessions; and when messages are lost, since their gap may stand before entries that were sent
/// already.
pub(crate) fn inherit(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account) {
    let heirs: Vec<SessionId> =
        account.sessions.iter().filter(|session| session.presence.takes_messages()).map(|s| s.id).collect();
    for heir in heirs {
        attend(desk, ctx, account, heir);
    }
}
