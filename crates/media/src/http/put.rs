//! `PUT`: a file comes, with the ticket of its slot.
//!
//! Everything that can be said before the file comes is said then: the ticket, the length, a place, room on the disk. The file goes to the
//! backend piece by piece, each hashed and written before the next is taken from the connection, so that a slow disk slows the client
//! and not the memory. Order and promises of what is durable: [`crate::objects`].
//!
//! A slot is for one upload. Whoever sends it again is answered according to what comes: the same file, whose answer he may have lost, is
//! there; another is refused.

use super::progress::{Progress, Stuck};
use super::room::Promised;
use super::share::Share;
use super::{BROKEN, BUSY, TRANSFER_BYTES, Trouble};
use crate::Shared;
use crate::objects::Incoming;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaski_store::StoreError;
use chaski_store::media::slot::{Slot, SlotError};
use chaski_store::media::{
    Answer, Content, Digest, Edit, Name, ObjectId, Place, Purpose, Query, Reference, Refused,
};
use http_body_util::BodyExt;
use sha2::{Digest as _, Sha256};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) const NO_TICKET: Trouble =
    Trouble::new(StatusCode::FORBIDDEN, "This is not the URL of an upload slot of this server.");
pub(super) const LATE: Trouble =
    Trouble::new(StatusCode::FORBIDDEN, "The time of this upload slot is over; ask for another.");
pub(super) const TAKEN: Trouble =
    Trouble::new(StatusCode::CONFLICT, "This upload slot has been used for another file.");
/// No trouble: it is there already.
const SAME: Trouble = Trouble::new(StatusCode::CREATED, "");
const NO_LENGTH: Trouble =
    Trouble::new(StatusCode::LENGTH_REQUIRED, "Say how long the file is (Content-Length).");
pub(super) const TOO_LONG: Trouble =
    Trouble::new(StatusCode::PAYLOAD_TOO_LARGE, "The file is longer than its upload slot.");
const TOO_SHORT: Trouble = Trouble::new(StatusCode::BAD_REQUEST, "The file is shorter than its upload slot.");
pub(super) const CUT: Trouble = Trouble::new(StatusCode::BAD_REQUEST, "The file did not come whole.");
pub(super) const SLOW: Trouble = Trouble::new(StatusCode::REQUEST_TIMEOUT, "The upload did not go on.");
pub(super) const OUSTED: Trouble =
    Trouble::new(StatusCode::CONFLICT, "The same file is being uploaded anew.");
pub(super) const OTHER: Trouble =
    Trouble::new(StatusCode::BAD_REQUEST, "The file is not the one that was announced.");
pub(super) const FULL: Trouble =
    Trouble::later(StatusCode::INSUFFICIENT_STORAGE, "The server has no room for this file.", 600);
pub(super) const QUOTA: Trouble =
    Trouble::new(StatusCode::INSUFFICIENT_STORAGE, "Your files take all the room that you have here.");
pub(super) const NOBODY: Trouble = Trouble::new(StatusCode::FORBIDDEN, "There is no such account.");
pub(super) const BLOCKED: Trouble =
    Trouble::new(StatusCode::FORBIDDEN, "The operator of this server does not take this file.");

/// What is read of a file that is refused, so that the client is still there to read why.
const REFUSED_BYTES: u64 = 256 << 10;
/// And how long that may take.
const REFUSED_TIME: Duration = Duration::from_secs(2);

/// Serves it. What comes is taken in where its connection is, since each piece that goes from a thread to another wakes one; what is
/// done with it runs on threads of this crate's.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    place: super::Place,
    from: Option<IpAddr>,
    request: Request,
) -> Result<Response, Trouble> {
    let (parts, mut body) = request.into_parts();
    let slot = slot(shared, &place, parts.uri.query(), shared.time.unix_ms());
    let done = match admit(&slot, length(&parts.headers)) {
        Ok(slot) => upload(shared, slot, from, &mut body).await,
        Err(trouble) => Err(trouble),
    };
    let Err(trouble) = done else { return Ok(StatusCode::CREATED.into_response()) };
    if [NO_TICKET, LATE, TOO_LONG, TOO_SHORT, OTHER].contains(&trouble) {
        shared.metrics.tickets_refused_total.inc();
    }
    if trouble == FULL {
        shared.metrics.refused_full_total.inc();
    }
    // Whatever else comes on this connection is not looked at.
    drain(body).await;
    let mut response = trouble.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// The slot of a ticket, if it is this place's and its time is not over by then.
pub(super) fn slot(
    shared: &Shared,
    place: &super::Place,
    query: Option<&str>,
    now_unix_ms: u64,
) -> Result<Slot, Trouble> {
    let ticket = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("slot=")));
    let opened = shared.keys.open(ticket.ok_or(NO_TICKET)?, now_unix_ms);
    let slot = opened.map_err(|error| match error {
        SlotError::Late => LATE,
        SlotError::Invalid => NO_TICKET,
    })?;
    if slot.name == place.name && *slot.file_name == place.file_name { Ok(slot) } else { Err(NO_TICKET) }
}

/// The length that is said, once.
fn length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn admit(slot: &Result<Slot, Trouble>, length: Option<u64>) -> Result<&Slot, Trouble> {
    let slot = slot.as_ref().map_err(|trouble| *trouble)?;
    match length.ok_or(NO_LENGTH)?.cmp(&slot.size) {
        std::cmp::Ordering::Less => Err(TOO_SHORT),
        std::cmp::Ordering::Greater => Err(TOO_LONG),
        std::cmp::Ordering::Equal => Ok(slot),
    }
}

async fn upload(
    shared: &Arc<Shared>,
    slot: &Slot,
    from: Option<IpAddr>,
    body: &mut Body,
) -> Result<(), Trouble> {
    let Some(place) = shared.places.enter(from) else {
        shared.metrics.refused_busy_total.inc();
        return Err(BUSY);
    };
    let using = shared.places.begin(slot.name).await;
    let mut transfer = Transfer::begin(shared);
    let share = shared.shares.of(from);
    let came = tokio::select! {
        came = take(shared, slot, &share, body) => came,
        () = using.ousted() => Err(OUSTED),
    };
    transfer.is_cut = matches!(came, Err(CUT | SLOW | OUSTED));
    let (came, of, slot) = (came?, shared.clone(), slot.clone());
    // A client that goes away now does not keep what has come from being stored.
    let storing = shared.runtime.spawn(async move {
        let _until_it_is_stored = (place, using, transfer);
        came.store(&of, &slot).await
    });
    storing.await.map_err(|_| BROKEN)?
}

/// An upload in progress, counted. It is cut if its client goes away, and nobody comes to the end of it.
struct Transfer {
    shared: Arc<Shared>,
    is_cut: bool,
}

impl Transfer {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.metrics.transfers.add(1);
        Self { shared: shared.clone(), is_cut: true }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.shared.metrics.transfers.add(-1);
        if self.is_cut {
            self.shared.metrics.uploads_cut_total.inc();
        }
    }
}

/// Takes in the file, or what is to be compared with the one that is there.
async fn take(shared: &Arc<Shared>, slot: &Slot, share: &Share, body: &mut Body) -> Result<Came, Trouble> {
    let (name, size, of) = (slot.name, slot.size, shared.clone());
    let place = shared.stores.place_for(&slot.media_type, size);
    let begun = blocking(shared, move || {
        let now_unix_ms = of.time.unix_ms();
        match of.index.ask(Query::Reference { name, now_unix_ms }).map_err(broken)? {
            Answer::Reference(None) => {}
            Answer::Reference(Some(stored)) => return Ok((Begun::Again(*stored), None)),
            _ => return Err(BROKEN),
        }
        let promised = room(&of, &place, size)?;
        let objects = of.stores.at(&place).map_err(|error| failed(&error))?;
        let object = ObjectId(rand::random());
        let incoming = objects.begin(object).map_err(|error| failed(&error))?;
        Ok((Begun::New(object, place, promised), Some(incoming)))
    });
    let (begun, incoming) = begun.await?;
    let received = receive(shared, slot, (body, share), incoming).await?;
    Ok(Came { begun, received })
}

enum Begun {
    New(ObjectId, Place, Promised),
    Again(Reference),
}

/// All of a file has come.
struct Came {
    begun: Begun,
    received: Received,
}

impl Came {
    /// Stores it, or looks whether it is the one that is there.
    async fn store(self, shared: &Arc<Shared>, slot: &Slot) -> Result<(), Trouble> {
        let Self { begun, mut received } = self;
        let announced = slot.sha256;
        let ended = blocking(shared, move || {
            received.write().map_err(|error| failed(&error))?;
            let sha256: Digest = received.hasher.finalize_reset().into();
            let Some(incoming) = received.incoming.take() else { return Ok(sha256) };
            if announced.is_some_and(|announced| announced != sha256) {
                return Err(OTHER);
            }
            incoming.finish().map_err(|error| failed(&error))?;
            Ok(sha256)
        });
        let sha256 = ended.await?;
        match begun {
            Begun::Again(stored) if stored.content == (Content { sha256, size: slot.size }) => Ok(()),
            Begun::Again(_) => Err(TAKEN),
            Begun::New(object, place, _promised) => {
                let (of, reference) = (shared.clone(), reference(shared, slot, sha256, (object, place)));
                bring(shared, &reference).await?;
                let registered_unix_ms = slot.registered_unix_ms;
                blocking(shared, move || store(&of, reference, registered_unix_ms)).await
            }
        }
    }
}

pub(super) fn reference(
    shared: &Shared,
    slot: &Slot,
    sha256: Digest,
    (object, place): (ObjectId, Place),
) -> Reference {
    let created_unix_ms = shared.time.unix_ms();
    let ends = || created_unix_ms.saturating_add(shared.settings.expire_ms);
    Reference {
        name: slot.name,
        owner: slot.owner,
        content: Content { sha256, size: slot.size },
        object,
        place,
        media_type: slot.media_type.clone(),
        file_name: slot.file_name.clone(),
        purpose: slot.purpose,
        created_unix_ms,
        expires_unix_ms: (slot.purpose == Purpose::Message).then(ends),
    }
}

/// What has come so far. One buffer is filled, hashed and written, and only then filled again.
struct Received {
    incoming: Option<Box<dyn Incoming>>,
    hasher: Sha256,
    buffer: Vec<u8>,
    runtime: Handle,
}

impl Received {
    fn write(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        let written = match &mut self.incoming {
            Some(incoming) => incoming.write(&self.buffer),
            None => Ok(()),
        };
        self.buffer.clear();
        written
    }
}

/// What did not come whole is deleted, by a thread that may wait.
impl Drop for Received {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.runtime.spawn_blocking(move || drop(incoming));
        }
    }
}

/// The whole file, hashed and written (if there is something to write to) up to what is in the buffer at the end.
async fn receive(
    shared: &Arc<Shared>,
    slot: &Slot,
    (body, share): (&mut Body, &Share),
    incoming: Option<Box<dyn Incoming>>,
) -> Result<Received, Trouble> {
    let settings = &shared.settings;
    let mut progress = Progress::new(settings.progress_time, settings.progress_bytes);
    let buffer = Vec::with_capacity(TRANSFER_BYTES.min(slot.size as usize));
    let runtime = shared.runtime.clone();
    let mut received = Received { incoming, hasher: Sha256::new(), buffer, runtime };
    let mut left = slot.size;
    while left > 0 {
        let frame = progress.wait(body.frame()).await.map_err(|Stuck| SLOW)?;
        // An error is a connection that ended.
        let frame = frame.ok_or(CUT)?.map_err(|_| CUT)?;
        let Ok(mut piece) = frame.into_data() else { continue };
        let bytes = piece.len() as u64;
        left = left.checked_sub(bytes).ok_or(TOO_LONG)?;
        progress.moved(bytes);
        shared.metrics.received_bytes_total.add(bytes);
        while !piece.is_empty() {
            let fits = piece.len().min(TRANSFER_BYTES - received.buffer.len());
            received.buffer.extend_from_slice(&piece.split_to(fits));
            if received.buffer.len() == TRANSFER_BYTES {
                received = write(shared, received).await?;
                share.clone().take(TRANSFER_BYTES).await;
                progress.excuse();
            }
        }
    }
    Ok(received)
}

async fn write(shared: &Arc<Shared>, mut received: Received) -> Result<Received, Trouble> {
    blocking(shared, move || {
        received.write().map_err(|error| failed(&error))?;
        Ok(received)
    })
    .await
}

/// The second half of step 2 of [`crate::objects`]: what is whole here is brought to where it is to lie. Until that is done it is a stray:
/// whether the backend fails or nobody waits for it any more, the caretaker deletes it.
pub(super) async fn bring(shared: &Arc<Shared>, reference: &Reference) -> Result<(), Trouble> {
    let objects = shared.stores.at(&reference.place).map_err(|error| failed(&error))?;
    let stray = shared.strays.note(reference.object, &reference.place);
    objects.bring(reference.object).await.map_err(|error| {
        tracing::warn!(place = reference.place, %error, "a backend of files does not take an upload");
        BROKEN
    })?;
    stray.forget();
    Ok(())
}

/// All has come. Steps 3 and 4 of [`crate::objects`].
pub(super) fn store(shared: &Shared, reference: Reference, registered_unix_ms: u64) -> Result<(), Trouble> {
    let (object, owner, purpose) = (reference.object, reference.owner, reference.purpose);
    let (name, content, place) = (reference.name, reference.content, reference.place.clone());
    let objects = shared.stores.at(&reference.place).map_err(|error| failed(&error))?;
    let edit = Edit::Store { reference, registered_unix_ms, quota_bytes: shared.settings.quota_bytes };
    // Whoever is told that a write failed may find it done after a crash: then the file must be there, too. The next start looks.
    let refused = match shared.index.edit(edit).map_err(broken)? {
        Answer::Done(_) => None,
        // By the same file on another connection, perhaps.
        Answer::Refused(Refused::Taken) => Some(if is_stored(shared, name, content) { SAME } else { TAKEN }),
        Answer::Refused(Refused::Quota) => Some(QUOTA),
        Answer::Refused(Refused::Blocked) => {
            shared.metrics.refused_blocked_total.inc();
            Some(BLOCKED)
        }
        Answer::Refused(_) => Some(NOBODY),
        _ => return Err(BROKEN),
    };
    if let Some(trouble) = refused {
        if objects.is_remote() {
            drop(shared.strays.note(object, &place));
        } else if let Err(error) = objects.delete(&[object]) {
            tracing::warn!(%error, "a refused upload stays on the disk until the next start");
        }
        return if trouble == SAME { Ok(()) } else { Err(trouble) };
    }
    if let Err(error) = objects.settle(object) {
        tracing::warn!(%error, "an upload stays among the arrivals until the next start; it is served from there");
    }
    shared.metrics.uploads_total.inc();
    if let Err(error) = shared.staging.end(name) {
        tracing::warn!(%error, "what an upload was made of stays on the disk until the next start");
    }
    if purpose == Purpose::Profile {
        let expires_unix_ms = shared.time.unix_ms().saturating_add(shared.settings.expire_ms);
        let edit = Edit::Retire { owner, keep: shared.settings.profiles_kept, expires_unix_ms };
        if let Err(error) = shared.index.edit(edit) {
            tracing::warn!(account = ?owner, %error, "older files of a profile could not be given an end");
        }
    }
    Ok(())
}

fn is_stored(shared: &Shared, name: Name, content: Content) -> bool {
    let query = Query::Reference { name, now_unix_ms: shared.time.unix_ms() };
    matches!(shared.index.ask(query), Ok(Answer::Reference(Some(stored))) if stored.content == content)
}

/// Room for an object.
pub(super) fn room(shared: &Shared, place: &str, bytes: u64) -> Result<Promised, Trouble> {
    let there = shared.stores.at(place).and_then(|objects| objects.room_bytes());
    let there = there.map_err(|error| failed(&error))?;
    shared.room.promise(there, bytes).ok_or(FULL)
}

/// Work on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    shared.runtime.spawn_blocking(work).await.map_err(|_| BROKEN)?
}

pub(super) fn failed(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FULL,
        _ => {
            tracing::error!(%error, "an upload cannot be written");
            BROKEN
        }
    }
}

pub(super) fn broken(error: StoreError) -> Trouble {
    match error {
        StoreError::Full => FULL,
        StoreError::Overloaded => BUSY,
        _ => {
            tracing::error!(%error, "the index of media does not answer");
            BROKEN
        }
    }
}

/// A client that is still sending when its connection is closed loses the answer with it: some of what comes is taken.
pub(super) async fn drain(mut body: Body) {
    let take = async {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len) as u64;
            if taken > REFUSED_BYTES {
                break;
            }
        }
    };
    // Whoever takes longer is not waiting for an answer.
    let _ = tokio::time::timeout(REFUSED_TIME, take).await;
}
