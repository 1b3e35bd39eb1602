//! `GET` and `HEAD`: a file, a part of it, or the news that the client has it already (RFC 9110 §§13 and 14).
//!
//! The index is asked each time, so that what has ended is not served a moment longer; the first piece is read with it, in one go on
//! a thread that may wait.

use super::body::FileBody;
use super::range::{self, Part};
use super::{BROKEN, BUSY, NOT_FOUND, Place, TRANSFER_BYTES, Trouble, headers};
use crate::Shared;
use crate::objects::Stored;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaski_sendfile::Lane;
use chaski_store::media::{Answer, Name, ObjectId, Query, Reference};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;

/// A file that has been fetched may have become one with another meanwhile, which is to be fetched then; more often it is the room for
/// what was fetched that is too small for all who ask.
const FETCHES_MAX: usize = 2;

/// Serves it.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    place: Place,
    from: Option<IpAddr>,
    asked: Asked,
) -> Result<Response, Trouble> {
    let Some(taken) = shared.places.enter(from) else {
        shared.metrics.refused_busy_total.inc();
        return Err(BUSY);
    };
    let wanted = Arc::new((place, asked));
    let mut found = look(shared, &wanted).await?;
    for _ in 0..FETCHES_MAX {
        if !matches!(found.answer, FoundAnswer::Cold) {
            break;
        }
        fetch(shared, &found.reference).await?;
        found = look(shared, &wanted).await?;
    }
    let Found { reference, answer } = found;
    let mut headers = headers::of(&reference, shared.time.unix_ms());
    let size = reference.content.size;
    let response = match answer {
        // It had to make room again at once.
        FoundAnswer::Cold => return Err(BUSY),
        FoundAnswer::Known => {
            headers.remove(header::CONTENT_DISPOSITION);
            headers.remove(header::CONTENT_TYPE);
            (StatusCode::NOT_MODIFIED, headers).into_response()
        }
        FoundAnswer::Nothing => {
            let range = HeaderValue::from_str(&format!("bytes */{size}")).map_err(|_| BROKEN)?;
            let headers = [(header::CONTENT_RANGE, range)];
            (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response()
        }
        FoundAnswer::Head => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
            (headers, Body::empty()).into_response()
        }
        FoundAnswer::Bytes { stored, first, last, piece } => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(last - first + 1));
            let status = match last - first + 1 == size && !piece.is_part {
                true => StatusCode::OK,
                false => {
                    let range = HeaderValue::from_str(&format!("bytes {first}-{last}/{size}"));
                    headers.insert(header::CONTENT_RANGE, range.map_err(|_| BROKEN)?);
                    StatusCode::PARTIAL_CONTENT
                }
            };
            shared.metrics.downloads_total.inc();
            let body = FileBody::new(
                shared.clone(),
                (stored, wanted.1.lane.clone()),
                (taken, shared.shares.of(from)),
                (first, last),
                piece.bytes,
            );
            (status, headers, Body::new(body)).into_response()
        }
    };
    Ok(response)
}

/// What a request says besides the name.
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) known: Option<String>,
    range: Option<String>,
    if_range: Option<String>,
    /// Of a plain connection.
    pub(super) lane: Option<Lane>,
}

impl Asked {
    pub(super) fn read(request: &Request) -> Self {
        let headers = request.headers();
        let is_head = request.method() == Method::HEAD;
        Self {
            is_head,
            known: all(headers, header::IF_NONE_MATCH),
            // §14.2: for GET alone.
            range: all(headers, header::RANGE).filter(|_| !is_head),
            if_range: all(headers, header::IF_RANGE),
            lane: request.extensions().get().cloned(),
        }
    }
}

/// A header's values, joined as RFC 9110 §5.3 has it.
fn all(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

struct Found {
    reference: Reference,
    answer: FoundAnswer,
}

enum FoundAnswer {
    /// It must be fetched.
    Cold,
    Known,
    Nothing,
    Head,
    Bytes {
        stored: Arc<dyn Stored>,
        first: u64,
        last: u64,
        piece: Piece,
    },
}

/// What is sent first.
struct Piece {
    bytes: Vec<u8>,
    /// It was asked for a part, which may be the whole.
    is_part: bool,
}

async fn look(shared: &Arc<Shared>, wanted: &Arc<(Place, Asked)>) -> Result<Found, Trouble> {
    let (of, wanted) = (shared.clone(), wanted.clone());
    let found = shared.runtime.spawn_blocking(move || find(&of, &wanted.0, &wanted.1)).await;
    found.map_err(|_| BROKEN)?
}

/// Brings here what a reference leads to. On this crate's runtime, which it outlives its asker on: others may wait for it, too.
pub(super) async fn fetch(shared: &Arc<Shared>, reference: &Reference) -> Result<(), Trouble> {
    let objects = shared.stores.at(&reference.place).map_err(|_| BROKEN)?;
    let (name, mut object) = (reference.name, reference.object);
    loop {
        let fetched = shared.runtime.spawn(objects.fetch(object, name)).await;
        match fetched.map_err(|_| BROKEN)? {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // It may have become one with another since it was looked up.
                let now = object_of(shared, name).await?;
                if now == object {
                    return Err(dangling(shared, "a file is missing that the index has"));
                }
                object = now;
            }
            Err(error) => {
                tracing::warn!(place = reference.place, %error, "a backend of files does not give a file");
                return Err(BROKEN);
            }
        }
    }
}

async fn object_of(shared: &Arc<Shared>, name: Name) -> Result<ObjectId, Trouble> {
    let of = shared.clone();
    let query = Query::Reference { name, now_unix_ms: shared.time.unix_ms() };
    match shared.runtime.spawn_blocking(move || of.index.ask(query)).await.map_err(|_| BROKEN)? {
        Ok(Answer::Reference(Some(found))) => Ok(found.object),
        Ok(Answer::Reference(None)) => Err(NOT_FOUND),
        _ => Err(BROKEN),
    }
}

fn find(shared: &Shared, place: &Place, asked: &Asked) -> Result<Found, Trouble> {
    let mut reference = look_up(shared, place)?;
    let etag = headers::etag(&reference);
    if asked.known.as_deref().is_some_and(|list| headers::has_tag(list, &etag)) {
        return Ok(Found { reference, answer: FoundAnswer::Known });
    }
    let size = reference.content.size;
    // §13.1.5: a date, or a tag that only may be equal, is none that we know.
    let range = asked.range.as_deref().filter(|_| asked.if_range.as_ref().is_none_or(|tag| *tag == etag));
    let part = range.map_or(Part::Whole, |range| range::wanted(range, size));
    let (first, last) = match part {
        Part::Nothing => return Ok(Found { reference, answer: FoundAnswer::Nothing }),
        Part::Bytes { first, last } => (first, last),
        Part::Whole => (0, size.saturating_sub(1)),
    };
    let stored = match open(shared, &reference) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // It may have become one with another between the two looks.
            let again = look_up(shared, place)?;
            reference = again;
            open(shared, &reference)
        }
        opened => opened,
    };
    let stored: Arc<dyn Stored> = match stored {
        Ok(stored) if stored.size() == size => stored.into(),
        Ok(_) => return Err(dangling(shared, "a file has another length than the index says")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(dangling(shared, "a file is missing that the index has"));
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let answer = if asked.is_head { FoundAnswer::Head } else { FoundAnswer::Cold };
            return Ok(Found { reference, answer });
        }
        Err(error) => {
            tracing::error!(%error, "a file cannot be opened");
            return Err(BROKEN);
        }
    };
    // Of an empty file there is no first byte, and nothing to be sent.
    if asked.is_head || size == 0 {
        return Ok(Found { reference, answer: FoundAnswer::Head });
    }
    let is_part = part != Part::Whole;
    if asked.lane.is_some() && is_at_hand(&*stored, first, last) {
        // It is not needed here.
        let piece = Piece { bytes: Vec::new(), is_part };
        return Ok(Found { reference, answer: FoundAnswer::Bytes { stored, first, last, piece } });
    }
    let mut bytes = vec![0; (last - first + 1).min(TRANSFER_BYTES as u64) as usize];
    let count = stored.read_at(first, &mut bytes).map_err(|error| {
        tracing::error!(%error, "a file cannot be read");
        BROKEN
    })?;
    bytes.truncate(count);
    let piece = Piece { bytes, is_part };
    Ok(Found { reference, answer: FoundAnswer::Bytes { stored, first, last, piece } })
}

/// Whether the first piece is in the system's memory. If it is not any more when it is sent, the body reads it.
fn is_at_hand(stored: &dyn Stored, first: u64, last: u64) -> bool {
    let count = (last - first + 1).min(TRANSFER_BYTES as u64) as usize;
    stored.file().is_some_and(|file| chaski_sendfile::is_at_hand(file, first, count))
}

/// Opens what a reference leads to.
pub(super) fn open(shared: &Shared, reference: &Reference) -> io::Result<Box<dyn Stored>> {
    shared.stores.at(&reference.place)?.open(reference.object, reference.name)
}

pub(super) fn look_up(shared: &Shared, place: &Place) -> Result<Reference, Trouble> {
    let query = Query::Reference { name: place.name, now_unix_ms: shared.time.unix_ms() };
    match shared.index.ask(query) {
        Ok(Answer::Reference(Some(found))) if *found.file_name == place.file_name => Ok(*found),
        Ok(Answer::Reference(_)) => Err(NOT_FOUND),
        Ok(_) => Err(BROKEN),
        Err(error) => {
            tracing::error!(%error, "the index of media does not answer");
            Err(BROKEN)
        }
    }
}

fn dangling(shared: &Shared, what: &'static str) -> Trouble {
    shared.metrics.dangling_total.inc();
    tracing::error!("{what}");
    NOT_FOUND
}
