//! Resumable uploads (tus 1.0.0: core, creation, creation-with-upload, expiration, checksum, termination).
//!
//! The URL of a slot is where an upload is created and is itself the upload (docs/protocol.md "Uploads that go on"): `POST` begins it,
//! `HEAD` says how far it is, `PATCH` goes on ([`patch`]), `DELETE` gives it up. The ticket is in the URL, so that nothing but what has
//! come is kept ([`crate::staging`]); once it has begun the slot's time does not matter but the upload's own. When all is there it goes to the
//! backend as a whole ([`whole`]), in the steps of a `PUT`.
//!
//! Promises: an offset that was answered is durable. One request at a time has the slot, and the newest gets it: what is in progress
//! keeps what has come and ends. A client is told that all has come when the file is served, and not before.

mod patch;
mod said;
mod whole;

use super::put::{self, FULL, LATE, NO_TICKET, QUOTA, TAKEN, TOO_LONG, blocking, broken, drain, failed};
use super::share::Share;
use super::{BROKEN, BUSY, Place, Trouble};
use crate::Shared;
use crate::staging::{Bounds, NotBegun, Unfinished};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaski_store::media::slot::Slot;
use chaski_store::media::{Answer, Query, charge};
use said::{Said, UPLOAD_EXPIRES, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET};
use std::net::IpAddr;
use std::sync::Arc;

pub(super) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

const OTHER_VERSION: Trouble =
    Trouble::new(StatusCode::PRECONDITION_FAILED, "Only tus 1.0.0 is spoken here (Tus-Resumable).");
const GONE: Trouble =
    Trouble::new(StatusCode::GONE, "The time of this upload is over; ask for another upload slot.");
const NOT_BEGUN: Trouble =
    Trouble::new(StatusCode::NOT_FOUND, "There is no unfinished upload here; it begins by POST.");
const OTHER_LENGTH: Trouble =
    Trouble::new(StatusCode::BAD_REQUEST, "The length (Upload-Length) is not the upload slot's.");
const OTHER_OFFSET: Trouble =
    Trouble::new(StatusCode::CONFLICT, "The upload is not there (Upload-Offset); HEAD says where it is.");
const TOO_MANY: Trouble = Trouble::later(
    StatusCode::INSUFFICIENT_STORAGE,
    "There are too many unfinished uploads; finish some, or give them up by DELETE.",
    600,
);
const STAYS: Trouble = Trouble::new(StatusCode::FORBIDDEN, "What has been uploaded is not deleted here.");

/// Says what is spoken, in answers to `OPTIONS`.
pub(super) fn announce(headers: &mut HeaderMap) {
    let said: [(&'static str, HeaderValue); 4] = [
        ("tus-resumable", VERSION),
        ("tus-version", VERSION),
        (
            "tus-extension",
            HeaderValue::from_static("creation,creation-with-upload,expiration,checksum,termination"),
        ),
        ("tus-checksum-algorithm", HeaderValue::from_static("sha1,sha256")),
    ];
    headers.extend(said.map(|(name, value)| (HeaderName::from_static(name), value)));
}

/// The method that is meant: a client that can't send one says it in a header.
pub(super) fn method(request: &Request) -> Method {
    let said = request.headers().get("x-http-method-override").filter(|_| request.method() == Method::POST);
    said.and_then(|said| Method::from_bytes(said.as_bytes()).ok())
        .filter(|method| [Method::PATCH, Method::DELETE, Method::HEAD].contains(method))
        .unwrap_or_else(|| request.method().clone())
}

/// Serves it, on this crate's runtime.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    place: Place,
    from: Option<IpAddr>,
    method: Method,
    request: Request,
) -> Result<Response, Trouble> {
    let (parts, body) = request.into_parts();
    // Whether its time is over is looked at where it counts.
    let slot = put::slot(shared, &place, parts.uri.query(), 0);
    let version = parts.headers.get(RESUMABLE).is_some_and(|version| *version == VERSION);
    let here = parts.uri.path_and_query().map(|at| at.as_str().to_owned()).unwrap_or_default();
    let (shared, runtime) = (shared.clone(), shared.runtime.clone());
    let work = async move {
        let mut body = body;
        let done = match (version, slot) {
            (false, _) => Err(OTHER_VERSION),
            (true, Err(trouble)) => Err(trouble),
            (true, Ok(slot)) => match Said::read(&parts.headers) {
                Ok(said) => {
                    let share = shared.shares.of(from);
                    let asked = Asked { shared: &shared, slot, said, here, share };
                    asked.answer(method, from, &mut body).await
                }
                Err(trouble) => Err(trouble),
            },
        };
        let mut response = match done {
            Ok(response) => response,
            Err(trouble) => refused(&shared, trouble, body).await,
        };
        response.headers_mut().insert(RESUMABLE, VERSION);
        response
    };
    // A client that goes away does not keep what has come from being kept.
    runtime.spawn(work).await.map_err(|_| BROKEN)
}

async fn refused(shared: &Shared, trouble: Trouble, body: Body) -> Response {
    if [NO_TICKET, LATE, GONE, TOO_LONG, OTHER_LENGTH].contains(&trouble) {
        shared.metrics.tickets_refused_total.inc();
    }
    if trouble == FULL {
        shared.metrics.refused_full_total.inc();
    }
    if trouble == TOO_MANY {
        shared.metrics.unfinished_refused_total.inc();
    }
    let is_read = axum::body::HttpBody::is_end_stream(&body);
    if !is_read {
        drain(body).await;
    }
    let mut response = trouble.into_response();
    let headers = response.headers_mut();
    if !is_read {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if trouble == OTHER_VERSION {
        headers.insert("tus-version", VERSION);
    }
    response
}

/// Where an upload is.
enum Standing {
    None,
    Unfinished(Unfinished),
    Whole,
}

struct Asked<'a> {
    shared: &'a Arc<Shared>,
    slot: Slot,
    said: Said,
    /// The URL without its origin.
    here: String,
    share: Share,
}

impl Asked<'_> {
    async fn answer(
        self,
        method: Method,
        from: Option<IpAddr>,
        body: &mut Body,
    ) -> Result<Response, Trouble> {
        let Some(_place) = self.shared.places.enter(from) else {
            self.shared.metrics.refused_busy_total.inc();
            return Err(BUSY);
        };
        let using = self.shared.places.begin(self.slot.name).await;
        let standing = self.standing().await?;
        match method {
            Method::HEAD => self.head(standing).await,
            Method::POST => {
                self.create(standing).await?;
                let offset = if self.said.has_bytes {
                    Some(patch::serve(&self, &using, self.begun()?, body).await?)
                } else {
                    None
                };
                self.created(offset)
            }
            Method::PATCH => {
                self.said.is_patch()?;
                let unfinished = match standing {
                    Standing::Unfinished(unfinished) => unfinished,
                    Standing::Whole if self.said.offset == Some(self.slot.size) => {
                        return self.at(StatusCode::NO_CONTENT, self.slot.size, None);
                    }
                    Standing::Whole => return Err(OTHER_OFFSET),
                    Standing::None => return Err(self.nothing()),
                };
                if self.said.offset != Some(unfinished.offset) {
                    return Err(OTHER_OFFSET);
                }
                let expires = unfinished.expires_unix_ms;
                let offset = patch::serve(&self, &using, unfinished, body).await?;
                self.at(StatusCode::NO_CONTENT, offset, Some(expires))
            }
            _ => self.give_up(standing).await,
        }
    }

    /// The row first: what is whole is not unfinished any more, whatever a kill has left.
    async fn standing(&self) -> Result<Standing, Trouble> {
        let (of, name) = (self.shared.clone(), self.slot.name);
        blocking(self.shared, move || {
            let now_unix_ms = of.time.unix_ms();
            match of.index.ask(Query::Reference { name, now_unix_ms }).map_err(broken)? {
                Answer::Reference(Some(_)) => Ok(Standing::Whole),
                Answer::Reference(None) => Ok(match of.staging.find(name, now_unix_ms) {
                    Some(unfinished) => Standing::Unfinished(unfinished),
                    None => Standing::None,
                }),
                _ => Err(BROKEN),
            }
        })
        .await
    }

    fn is_late(&self) -> bool {
        self.slot.until_unix_ms < self.shared.time.unix_ms()
    }

    fn nothing(&self) -> Trouble {
        if self.is_late() { GONE } else { NOT_BEGUN }
    }

    fn begun(&self) -> Result<Unfinished, Trouble> {
        self.shared.staging.find(self.slot.name, self.shared.time.unix_ms()).ok_or(BROKEN)
    }

    async fn head(&self, standing: Standing) -> Result<Response, Trouble> {
        let unfinished = match standing {
            Standing::None => return Err(self.nothing()),
            Standing::Whole => return self.at(StatusCode::OK, self.slot.size, None),
            Standing::Unfinished(unfinished) => unfinished,
        };
        // All had come when something ended it.
        if unfinished.offset == self.slot.size {
            whole::store(self.shared, &self.slot).await?;
            return self.at(StatusCode::OK, self.slot.size, None);
        }
        let mut response = self.at(StatusCode::OK, unfinished.offset, Some(unfinished.expires_unix_ms))?;
        if !unfinished.metadata.is_empty() {
            let metadata = HeaderValue::from_str(&unfinished.metadata).map_err(|_| BROKEN)?;
            response.headers_mut().insert(UPLOAD_METADATA, metadata);
        }
        Ok(response)
    }

    /// Begins, in the place of what has come before: a client that creates has nothing to go on with.
    async fn create(&self, standing: Standing) -> Result<(), Trouble> {
        if self.is_late() {
            return Err(LATE);
        }
        if matches!(standing, Standing::Whole) {
            return Err(TAKEN);
        }
        match self.said.length {
            Some(length) if length > self.slot.size => return Err(TOO_LONG),
            Some(length) if length == self.slot.size => {}
            _ => return Err(OTHER_LENGTH),
        }
        let (of, name, owner) = (self.shared.clone(), self.slot.name, self.slot.owner);
        let new = Unfinished {
            owner,
            size: self.slot.size,
            offset: 0,
            expires_unix_ms: of.time.unix_ms().saturating_add(of.settings.unfinished_ms),
            metadata: self.said.metadata.clone(),
        };
        blocking(self.shared, move || {
            let query = Query::Usage { owner, source: None, announced: None, now_unix_ms: of.time.unix_ms() };
            let Answer::Usage(usage) = of.index.ask(query).map_err(broken)? else { return Err(BROKEN) };
            let held = of.staging.held(owner, name).bytes;
            if usage.bytes.saturating_add(held).saturating_add(charge(new.size)) > of.settings.quota_bytes {
                return Err(QUOTA);
            }
            patch::room(&of, new.size)?;
            let per_account = of.settings.unfinished_per_account;
            let bounds = Bounds { per_account, all: of.settings.unfinished };
            let begun = of.staging.begin(name, &new, bounds);
            begun.map_err(|not_begun| match not_begun {
                NotBegun::TooMany => TOO_MANY,
                NotBegun::Failed(error) => failed(&error),
            })
        })
        .await?;
        self.shared.metrics.unfinished_begun_total.inc();
        self.shared.note_unfinished();
        Ok(())
    }

    fn created(&self, offset: Option<u64>) -> Result<Response, Trouble> {
        // With bytes it may be whole already.
        let expires = self.begun().ok().map(|it| it.expires_unix_ms);
        let mut response = self.at(StatusCode::CREATED, offset.unwrap_or(0), expires)?;
        let location = HeaderValue::from_str(&self.here).map_err(|_| BROKEN)?;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }

    async fn give_up(&self, standing: Standing) -> Result<Response, Trouble> {
        match standing {
            Standing::None => Err(self.nothing()),
            Standing::Whole => Err(STAYS),
            Standing::Unfinished(_) => {
                let (of, name) = (self.shared.clone(), self.slot.name);
                blocking(self.shared, move || of.staging.end(name).map_err(|error| failed(&error))).await?;
                self.shared.note_unfinished();
                Ok(StatusCode::NO_CONTENT.into_response())
            }
        }
    }

    /// How far it is. A time only of what is not whole.
    fn at(&self, status: StatusCode, offset: u64, expires: Option<u64>) -> Result<Response, Trouble> {
        let mut headers = HeaderMap::new();
        headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
        headers.insert(UPLOAD_LENGTH, HeaderValue::from(self.slot.size));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(expires) = expires.filter(|_| offset < self.slot.size) {
            headers.insert(UPLOAD_EXPIRES, said::date(expires).ok_or(BROKEN)?);
        }
        Ok((status, headers).into_response())
    }
}
