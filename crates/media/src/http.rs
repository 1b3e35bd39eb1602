//! Files over HTTP: `PUT` with a ticket ([`put`]), `GET` and `HEAD` by name ([`get`]), `OPTIONS` for browsers of other origins.
//!
//! One route, `/media/NAME/FILE`, small pictures by a query of `GET`'s ([`small`]), uploads that go on by methods of their own ([`tus`]).
//! What waits for a disk or an index runs on this crate's runtime, wherever the connection is; bytes are taken in and given out where it is, on the
//! listener's threads.
//!
//! Promises: an answer is one of [`Trouble`] or a file; every answer may be read by web pages of any origin, since nothing here is authorised
//! by cookies; nothing is compressed, and what is sent has its length said.

mod body;
mod get;
mod headers;
pub(crate) mod metrics;
mod origins;
pub(crate) mod places;
mod progress;
mod put;
mod range;
pub(crate) mod room;
pub(crate) mod share;
mod small;
mod tus;

use crate::thumbnail::Width;
use crate::{PATH, Shared};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chaski_store::media::{Name, file_name};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What one transfer has in memory at a time, besides what its connection has.
pub const TRANSFER_BYTES: usize = 48 << 10;

/// Why a request is not met, for a person and a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trouble {
    status: StatusCode,
    text: &'static str,
    /// When it may be worth another try.
    retry_s: Option<u16>,
}

impl Trouble {
    pub(crate) const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text, retry_s: None }
    }

    pub(crate) const fn later(status: StatusCode, text: &'static str, retry_s: u16) -> Self {
        Self { status, text, retry_s: Some(retry_s) }
    }
}

/// There is no such file, or no more; nobody is told which.
pub(crate) const NOT_FOUND: Trouble =
    Trouble::new(StatusCode::NOT_FOUND, "There is no such file here, or no more.");
/// Something is wrong with the disk or the index, which is logged.
pub(crate) const BROKEN: Trouble =
    Trouble::later(StatusCode::SERVICE_UNAVAILABLE, "The server cannot read or write this now.", 10);
/// Too many transfers.
pub(crate) const BUSY: Trouble =
    Trouble::later(StatusCode::SERVICE_UNAVAILABLE, "Too many transfers are in progress; try again.", 5);

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        let mut response = (self.status, headers, format!("{}\n", self.text)).into_response();
        if let Some(retry_s) = self.retry_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_s));
        }
        response
    }
}

/// The routes.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(&format!("{PATH}/{{*file}}"), any(serve))
        .layer(middleware::map_response(origins::open))
        .with_state(shared)
}

/// What a URL says.
struct Place {
    name: Name,
    file_name: String,
}

impl Place {
    /// From a path, whose file may be encoded in any way. One that no file of ours can have leads nowhere.
    fn read(path: &str) -> Option<Self> {
        let (name, file) = path.strip_prefix(PATH)?.strip_prefix('/')?.split_once('/')?;
        let file_name = file_name::decoded(file)?;
        (file_name == file_name::sanitised(&file_name))
            .then_some(Self { name: Name::parse(name)?, file_name })
    }
}

/// Any request.
async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.metrics.requests_total.inc();
    if request.method() == Method::OPTIONS {
        return origins::options();
    }
    let Some(place) = Place::read(request.uri().path()) else { return NOT_FOUND.into_response() };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let network = peer.map(|ConnectInfo(peer)| peer.ip());
    let method = tus::method(&request);
    let is_tus = request.headers().contains_key(tus::RESUMABLE);
    let done = match method {
        Method::HEAD | Method::POST | Method::PATCH | Method::DELETE if is_tus => {
            tus::serve(&shared, place, network, method, request).await
        }
        Method::GET | Method::HEAD => {
            let (asked, width) = (get::Asked::read(&request), small::width(request.uri().query()));
            got(&shared, place, network, asked, width).await
        }
        Method::PUT => put::serve(&shared, place, network, request).await,
        _ => Err(Trouble::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Files are put, and got; POST, PATCH and DELETE are tus' (Tus-Resumable: 1.0.0).",
        )),
    };
    done.unwrap_or_else(|trouble| {
        if trouble.status.is_server_error() {
            shared.metrics.troubles_total.inc();
        }
        let mut response = trouble.into_response();
        if trouble.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(origins::METHODS));
        }
        response
    })
}

/// A file, or a small picture of it. Where none are made, a client that asks for one has the whole.
async fn got(
    shared: &Arc<Shared>,
    place: Place,
    from: Option<IpAddr>,
    asked: get::Asked,
    width: Option<Result<Width, Trouble>>,
) -> Result<Response, Trouble> {
    match (&shared.thumbnails, width) {
        (Some(thumbnails), Some(width)) => small::serve(shared, thumbnails, place, from, asked, width?).await,
        _ => get::serve(shared, place, from, asked).await,
    }
}
