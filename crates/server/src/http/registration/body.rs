//! Reading requests: JSON bodies with the right errors, and basic authentication.

use crate::http::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;

/// Bytes of a request's body.
pub(crate) const BODY_BYTES: usize = 4 * 1024;

/// A body of JSON of this shape. Members that are not known are ignored, so that clients may be newer.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_json(request.headers())?;
        let bytes = read(request, state).await?;
        parse_json(&bytes).map(Self)
    }
}

/// Whether JSON is announced.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    if is_json(headers) {
        return Ok(());
    }
    let detail = "send JSON, with 'Content-Type: application/json'";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail))
}

/// JSON of this shape.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("the body is not the JSON that is expected here: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    })
}

/// The whole body, within the limit.
pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => unreadable(),
    })
}

pub(crate) fn too_large() -> Problem {
    let detail = "the request's body has more bytes than this address takes";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}

pub(crate) fn unreadable() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", "the body could not be read")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// User and password of RFC 7617.
pub(crate) fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
