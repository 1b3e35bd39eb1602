//! Upload slots (XEP-0363): what an account may upload, to which URL, and from which URL it can be fetched.
//!
//! A slot is a signed ticket in the URL for the upload ([`chaski_store::media::slot`]), so nothing is kept for it, and the HTTP
//! side needs nothing from this room. Owns the rates ([`Rate`], in the account), and the requests and answers. The files belong
//! to `crates/media`; which account refers to which content is in the store's index ([`chaski_store::media`]). Called by the
//! router for the address [`Uploads::host`].
//!
//! **Hash first** (docs/protocol.md "Uploads"): a client may announce the hash of what it is going to upload. If this account
//! already refers to that content, or the client shows a URL from which it can be fetched, the client gets another URL for it and
//! uploads nothing.
//!
//! Promises: exactly one answer to each request. Neither an answer nor the work done for it tells whether a content exists that
//! the account does not refer to and whose URL the client does not have. Content that the operator has blocked is refused by its
//! hash to everybody, whatever else is found. Errors for rates and quota say when to come again. Pure: time and randomness come
//! with the turn.

mod answer;
mod rate;
mod request;

use crate::account::Account;
use crate::effects::iq::{Reply, Request, Scope, Xep};
use crate::effects::turn::Turn;
use crate::effects::turn::media_index::{Ask, MediaRequest};
use crate::effects::turn::outbox::Post;
use crate::realm::uploads::Uploads;
use crate::wire::SessionId;
use answer::Refusal;
use chaski_store::media::slot::Slot;
use chaski_store::media::{self, Answer, Content, Edit, Name, ObjectId, Query, Reference, Refused, Source};
use chaski_store::{AccountId, StoreError};
use chaski_xmpp::{Stanza, StanzaCondition, ns};
use rate::Rate;
use request::Wanted;

/// What this room implements.
pub const SPEC: &[Xep] = &[Xep::new(
    363,
    "1.2.0",
    "HTTP File Upload",
    &[
        (Scope::Upload, ns::UPLOAD),
        (Scope::Upload, "urn:xmpp:http:upload:purpose:0#message"),
        (Scope::Upload, "urn:xmpp:http:upload:purpose:0#profile"),
        (Scope::Upload, ns::MEDIA),
        (Scope::Upload, ns::DISCO_INFO),
    ],
)];

chaski_telemetry::metrics! {
    /// What slots are counted as.
    pub(crate) struct UploadMetrics("chaski_rooms") {
        /// Upload slots granted.
        slots_granted_total: Counter,
        /// Slots finished at once, because the account refers to the content or has shown its URL.
        slots_finished_total: Counter,
        /// Slots refused because the account had asked for too many, or for too many bytes, lately.
        slots_refused_rate_total: Counter,
        /// Slots refused because the account's files take all its room.
        slots_refused_quota_total: Counter,
        /// Slots refused because the operator has blocked the content that was announced.
        slots_refused_blocked_total: Counter,
    }
}

/// How many references of an account for its profile (avatars) have no end; older ones expire.
pub const PROFILES_KEPT: usize = 8;
/// For how long after it was granted a slot may be used. One minute, as in the XEP, is short where a person still has to choose a
/// network.
pub const SLOT_MS: u64 = 10 * 60_000;

/// A request of a session to the upload service's address.
pub(crate) fn asked(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, stanza: &Stanza<'_>) {
    let Some(uploads) = turn.realm.uploads.as_deref() else { return };
    let Some(request) = Request::read(stanza) else { return };
    let reply = Reply::to_owner(account, session, stanza).on_behalf_of(&uploads.host);
    if request.gets("request", ns::UPLOAD) {
        return match Wanted::read(&request.child, uploads) {
            Ok(wanted) => slot(turn, account, wanted, reply),
            Err(refusal) => refusal.send(turn, uploads, reply),
        };
    }
    if request.gets("query", ns::DISCO_INFO) {
        let payload = answer::info(uploads, request.child.attr("node").as_deref());
        return match payload {
            Some(payload) => reply.result(turn.outbox, &payload),
            None => reply.error(turn.outbox, StanzaCondition::ItemNotFound),
        };
    }
    if request.gets("query", ns::DISCO_ITEMS) {
        return reply.result(turn.outbox, &answer::no_items(request.child.attr("node").as_deref()));
    }
    if request.gets("ping", ns::PING) {
        return reply.result(turn.outbox, b"");
    }
    reply.error(turn.outbox, StanzaCondition::ServiceUnavailable);
}

/// Checks the rate first, which costs nothing; then asks the index.
fn slot(turn: &mut Turn<'_>, account: &mut Account, wanted: Wanted, reply: Reply) {
    let Some(uploads) = turn.realm.uploads.as_deref() else { return };
    let rate = account.rare.get_or_make::<Rate>();
    if let Err(wait_ms) = rate.take_slot(uploads, turn.now_ms) {
        turn.metrics.of::<UploadMetrics>().slots_refused_rate_total.inc();
        return Refusal::TooMany { wait_ms }.send(turn, uploads, reply);
    }
    let (owner, source, now_unix_ms) = (account.id, wanted.source(uploads), turn.unix_ms);
    let query = Query::Usage { owner, source, announced: wanted.sha256, now_unix_ms };
    ask(turn, query, move |turn, account, found| {
        let Some(uploads) = turn.realm.uploads.as_deref() else { return };
        let usage = match found {
            Ok(Answer::Usage(usage)) => usage,
            Ok(_) => return reply.error(turn.outbox, StanzaCondition::InternalServerError),
            Err(error) => return reply.error(turn.outbox, crate::fault::not_kept(&error)),
        };
        if usage.is_blocked {
            turn.metrics.of::<UploadMetrics>().slots_refused_blocked_total.inc();
            return Refusal::Blocked.send(turn, uploads, reply);
        }
        if usage.bytes.saturating_add(media::charge(wanted.size)) > uploads.quota_bytes {
            turn.metrics.of::<UploadMetrics>().slots_refused_quota_total.inc();
            return Refusal::Quota { again_unix_ms: usage.next_expiry_unix_ms }.send(turn, uploads, reply);
        }
        match usage.source.filter(|content| wanted.is(content)).zip(source) {
            Some((content, source)) => refer(turn, account, wanted, (content, source), reply),
            None => grant(turn, account, &wanted, reply),
        }
    });
}

/// Grants a slot for an upload of the whole content.
fn grant(turn: &mut Turn<'_>, account: &mut Account, wanted: &Wanted, reply: Reply) {
    let Some(uploads) = turn.realm.uploads.as_deref() else { return };
    let rate = account.rare.get_or_make::<Rate>();
    if let Err(wait_ms) = rate.take_bytes(uploads, turn.now_ms, wanted.size) {
        turn.metrics.of::<UploadMetrics>().slots_refused_rate_total.inc();
        return Refusal::TooMany { wait_ms }.send(turn, uploads, reply);
    }
    turn.metrics.of::<UploadMetrics>().slots_granted_total.inc();
    let name = new_name(turn);
    answer_slot(turn, uploads, account, (wanted, name, false), reply);
}

/// The content exists, and the account may know that: gives the account another URL for it.
fn refer(
    turn: &mut Turn<'_>,
    account: &Account,
    wanted: Wanted,
    (content, source): (Content, Source),
    reply: Reply,
) {
    let Some(uploads) = turn.realm.uploads.as_deref() else { return };
    let (name, owner, created_unix_ms) = (new_name(turn), account.id, turn.unix_ms);
    let is_lasting = wanted.purpose == media::Purpose::Profile;
    let reference = Reference {
        name,
        owner,
        content,
        // Taken from the source.
        object: ObjectId(0),
        place: "".into(),
        media_type: wanted.media_type.clone(),
        file_name: wanted.file_name.clone(),
        purpose: wanted.purpose,
        created_unix_ms,
        expires_unix_ms: (!is_lasting).then(|| created_unix_ms.saturating_add(uploads.expire_ms)),
    };
    let registered_unix_ms = account.record.registered_unix_ms();
    let edit = Edit::Refer { reference, source, registered_unix_ms, quota_bytes: uploads.quota_bytes };
    change(turn, edit, move |turn, account, done| {
        let Some(uploads) = turn.realm.uploads.as_deref() else { return };
        match done {
            Ok(Answer::Done(_)) => {
                turn.metrics.of::<UploadMetrics>().slots_finished_total.inc();
                if is_lasting {
                    retire(turn, account.id, uploads);
                }
                answer_slot(turn, uploads, account, (&wanted, name, true), reply);
            }
            // The source was deleted just now.
            Ok(Answer::Refused(Refused::NoSource)) => grant(turn, account, &wanted, reply),
            Ok(Answer::Refused(Refused::Quota)) => {
                turn.metrics.of::<UploadMetrics>().slots_refused_quota_total.inc();
                Refusal::Quota { again_unix_ms: None }.send(turn, uploads, reply);
            }
            Ok(_) => reply.error(turn.outbox, StanzaCondition::InternalServerError),
            Err(error) => reply.error(turn.outbox, crate::fault::not_kept(&error)),
        }
    });
}

/// Has older references for the profile expire when there are newer ones.
fn retire(turn: &mut Turn<'_>, owner: AccountId, uploads: &Uploads) {
    let expires_unix_ms = turn.unix_ms.saturating_add(uploads.expire_ms);
    let edit = Edit::Retire { owner, keep: PROFILES_KEPT, expires_unix_ms };
    change(turn, edit, |_, account, done| {
        if let Err(error) = done {
            tracing::warn!(account = ?account.id, %error, "older files of a profile could not be given an end");
        }
    });
}

fn answer_slot(
    turn: &mut Turn<'_>,
    uploads: &Uploads,
    account: &Account,
    (wanted, name, is_finished): (&Wanted, Name, bool),
    reply: Reply,
) {
    let slot = Slot {
        name,
        owner: account.id,
        registered_unix_ms: account.record.registered_unix_ms(),
        size: wanted.size,
        media_type: wanted.media_type.clone(),
        file_name: wanted.file_name.clone(),
        purpose: wanted.purpose,
        until_unix_ms: turn.unix_ms.saturating_add(SLOT_MS),
        sha256: wanted.sha256,
    };
    let get = uploads.get_url(name, &wanted.file_name);
    let put = format!("{get}?slot={}", uploads.keys.seal(&slot));
    reply.result(turn.outbox, &answer::slot(&put, &get, is_finished));
}

fn new_name(turn: &mut Turn<'_>) -> Name {
    Name(u128::from(turn.rng.next_u64()) << 64 | u128::from(turn.rng.next_u64()))
}

fn ask(
    turn: &mut Turn<'_>,
    query: Query,
    then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<Answer, StoreError>) + Send + 'static,
) {
    turn.outbox
        .posts
        .push(Post::Media(Box::new(MediaRequest { ask: Ask::Query(query), then: Box::new(then) })));
}

fn change(
    turn: &mut Turn<'_>,
    edit: Edit,
    then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<Answer, StoreError>) + Send + 'static,
) {
    turn.outbox
        .posts
        .push(Post::Media(Box::new(MediaRequest { ask: Ask::Edit(edit), then: Box::new(then) })));
}
