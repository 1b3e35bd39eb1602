//! Upload slots (XEP-0363): what an account may upload, where to, and where it can be fetched then.
//!
//! A slot is a signed ticket in the URL of the upload ([`chaski_store::media::slot`]), so that nothing is kept for it and the HTTP side
//! needs nothing from here. Owns the rates ([`Rate`], in the account), and what clients say and are told; the files are
//! `crates/media`'s, who refers to what is the store's index ([`chaski_store::media`]). Called by the router for the
//! address [`Uploads::host`].
//!
//! **Hash first** (docs/protocol.md "Uploads"): a client may say what it is going to upload. If that is what this account refers to
//! itself, or what can be fetched under a URL that it shows, it gets another name for it and uploads nothing.
//!
//! Promises: exactly one answer to each request; nobody learns from an answer, or from the work that is done for it, whether a
//! content that he neither refers to nor has the URL of is there. What the operator has blocked is refused by its hash to everybody,
//! whatever else is found. Rates and quota say when to come again. Pure: time and chance come with the turn.

mod answer;
mod rate;
mod request;

pub(crate) use rate::Rate;

use crate::directory::Account;
use crate::iq::{Reply, Request, Scope, Xep};
use crate::outbox::{Post, Turn};
use crate::wire::SessionId;
use answer::Refusal;
use chaski_store::media::slot::{Slot, SlotKeys};
use chaski_store::media::{
    self, Answer, Content, Edit, Name, ObjectId, Query, Reference, Refused, Source, file_name,
};
use chaski_store::{AccountId, StoreError};
use chaski_xmpp::{Stanza, StanzaCondition, ns};
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

/// How many references for its profile an account has that no time ends.
pub const PROFILES_KEPT: usize = 8;
/// How long after it was granted an upload may begin. The XEP's minute is short where a person picks a network first.
pub const SLOT_MS: u64 = 10 * 60_000;

/// What uploads are like on this server.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// The address that slots are asked of.
    pub host: Box<str>,
    /// What every URL begins with, without a slash at its end.
    pub base_url: Box<str>,
    /// Largest file.
    pub max_file_bytes: u64,
    /// How long a file for a message stays.
    pub expire_ms: u64,
    /// What one account may have, as [`media::charge`] counts.
    pub quota_bytes: u64,
    /// Slots that an account may ask for at once.
    pub slots_burst: u32,
    /// And per hour for ever.
    pub slots_per_hour: u32,
    /// Bytes that it may announce at once.
    pub burst_bytes: u64,
    /// And per hour for ever.
    pub bytes_per_hour: u64,
    /// What tickets are sealed with.
    pub keys: SlotKeys,
}

impl Uploads {
    /// With this address and URL, and default bounds.
    pub fn new(host: &str, base_url: &str, secret: &[u8; 16]) -> Self {
        Self {
            host: host.into(),
            base_url: base_url.trim_end_matches('/').into(),
            max_file_bytes: 100 << 20,
            expire_ms: 30 * 86_400_000,
            quota_bytes: 4 << 30,
            slots_burst: 100,
            slots_per_hour: 600,
            burst_bytes: 1 << 30,
            bytes_per_hour: 1 << 30,
            keys: SlotKeys::new(secret),
        }
    }

    fn get_url(&self, name: Name, file_name: &str) -> String {
        format!("{}/{}/{}", self.base_url, name.to_text(), file_name::encoded(file_name))
    }

    /// A URL of ours as it is shown to the operator: without what only clients are to know, the key of an `aesgcm:` URL.
    pub(crate) fn without_key(&self, url: &str) -> Option<String> {
        let name = self.name_in(url)?.to_text();
        let file = url.split(['#', '?']).next()?.split_once(&format!("/{name}/"))?.1;
        let is_plain = file.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        is_plain.then(|| format!("{}/{name}/{file}", self.base_url))
    }

    /// The name in a URL of ours.
    fn name_in(&self, url: &str) -> Option<Name> {
        // What stands behind `#` is for clients: the key of an `aesgcm:` URL.
        let url = url.split('#').next().unwrap_or_default();
        let ours = self.base_url.split_once("://")?.1;
        let path = url.split_once("://")?.1.strip_prefix(ours)?.strip_prefix('/')?;
        Name::parse(path.split('/').next()?)
    }
}

/// Something that is asked of the index of media, or changed in it, and what happens then.
pub struct IndexWish {
    pub(crate) ask: Ask,
    pub(crate) then: Then,
}

pub(crate) enum Ask {
    Query(Query),
    Edit(Edit),
}

/// Goes on with the index' answer. Not called if the account has left memory meanwhile.
pub(crate) type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<Answer, StoreError>) + Send>;

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

/// The rate first, which costs nothing; then what the index knows.
fn slot(turn: &mut Turn<'_>, account: &mut Account, wanted: Wanted, reply: Reply) {
    let Some(uploads) = turn.realm.uploads.as_deref() else { return };
    let rate = account.upload_rate.get_or_insert_default();
    if let Err(wait_ms) = rate.take_slot(uploads, turn.now_ms) {
        turn.metrics.slots_refused_rate_total.inc();
        return Refusal::TooMany { wait_ms }.send(turn, uploads, reply);
    }
    let (owner, source, now_unix_ms) = (account.id, wanted.source(uploads), turn.unix_ms);
    let query = Query::Usage { owner, source, announced: wanted.sha256, now_unix_ms };
    ask(turn, query, move |turn, account, found| {
        let Some(uploads) = turn.realm.uploads.as_deref() else { return };
        let usage = match found {
            Ok(Answer::Usage(usage)) => usage,
            Ok(_) => return reply.error(turn.outbox, StanzaCondition::InternalServerError),
            Err(error) => return reply.error(turn.outbox, crate::pep::not_kept(&error)),
        };
        if usage.is_blocked {
            turn.metrics.slots_refused_blocked_total.inc();
            return Refusal::Blocked.send(turn, uploads, reply);
        }
        if usage.bytes.saturating_add(media::charge(wanted.size)) > uploads.quota_bytes {
            turn.metrics.slots_refused_quota_total.inc();
            return Refusal::Quota { again_unix_ms: usage.next_expiry_unix_ms }.send(turn, uploads, reply);
        }
        match usage.source.filter(|content| wanted.is(content)).zip(source) {
            Some((content, source)) => refer(turn, account, wanted, (content, source), reply),
            None => grant(turn, account, &wanted, reply),
        }
    });
}

/// It is to be uploaded in full.
fn grant(turn: &mut Turn<'_>, account: &mut Account, wanted: &Wanted, reply: Reply) {
    let Some(uploads) = turn.realm.uploads.as_deref() else { return };
    let rate = account.upload_rate.get_or_insert_default();
    if let Err(wait_ms) = rate.take_bytes(uploads, turn.now_ms, wanted.size) {
        turn.metrics.slots_refused_rate_total.inc();
        return Refusal::TooMany { wait_ms }.send(turn, uploads, reply);
    }
    turn.metrics.slots_granted_total.inc();
    let name = new_name(turn);
    answer_slot(turn, uploads, account, (wanted, name, false), reply);
}

/// It is there, and the account may know that: it gets another name for it.
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
        // The source's.
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
                turn.metrics.slots_finished_total.inc();
                if is_lasting {
                    retire(turn, account.id, uploads);
                }
                answer_slot(turn, uploads, account, (&wanted, name, true), reply);
            }
            // It has gone just now.
            Ok(Answer::Refused(Refused::NoSource)) => grant(turn, account, &wanted, reply),
            Ok(Answer::Refused(Refused::Quota)) => {
                turn.metrics.slots_refused_quota_total.inc();
                Refusal::Quota { again_unix_ms: None }.send(turn, uploads, reply);
            }
            Ok(_) => reply.error(turn.outbox, StanzaCondition::InternalServerError),
            Err(error) => reply.error(turn.outbox, crate::pep::not_kept(&error)),
        }
    });
}

/// Older references for the profile end when there are newer ones.
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
    turn.outbox.posts.push(Post::Index(Box::new(IndexWish { ask: Ask::Query(query), then: Box::new(then) })));
}

fn change(
    turn: &mut Turn<'_>,
    edit: Edit,
    then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<Answer, StoreError>) + Send + 'static,
) {
    turn.outbox.posts.push(Post::Index(Box::new(IndexWish { ask: Ask::Edit(edit), then: Box::new(then) })));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_urls_of_ours_only() {
        let uploads = Uploads::new("upload.chaski.example", "https://chaski.example/media/", &[7; 16]);
        let url = uploads.get_url(Name(9), "a b.jpg");
        assert_eq!(url, "https://chaski.example/media/00000000000000000000000000000009/a%20b.jpg");
        assert_eq!(uploads.name_in(&url), Some(Name(9)));
        let secret = format!("{}#00ff", url.replace("https:", "aesgcm:"));
        assert_eq!(uploads.name_in(&secret), Some(Name(9)), "as clients pass it on encrypted");
        assert_eq!(uploads.without_key(&secret), Some(url.clone()));
        assert_eq!(uploads.without_key(&format!("{url}?w=64")), Some(url.clone()));
        assert_eq!(uploads.without_key(&url.replace("%20", "\u{1b}")), None);
        for bad in [
            "",
            "https://chaski.example/media/9/a",
            "https://chaski.example.org/media/00000000000000000000000000000009/a",
            "https://chaski.example/mediax/00000000000000000000000000000009/a",
            "/media/00000000000000000000000000000009/a",
        ] {
            assert_eq!((uploads.name_in(bad), uploads.without_key(bad)), (None, None), "{bad}");
        }
    }
}
