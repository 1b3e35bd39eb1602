//! Web pages of other origins (the Fetch standard, "CORS protocol"): any may upload and download, and see what it needs to resume either.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What is done here; POST, PATCH and DELETE are those of resumable uploads.
pub(super) const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS";
const ALLOWED: &str = "content-type, range, if-range, if-none-match, tus-resumable, upload-length, upload-defer-length, \
    upload-offset, upload-metadata, upload-checksum, x-http-method-override, x-requested-with";
const EXPOSED: &str = "accept-ranges, content-disposition, content-length, content-range, etag, location, retry-after, \
    tus-checksum-algorithm, tus-extension, tus-max-size, tus-resumable, tus-version, upload-expires, upload-length, upload-metadata, \
    upload-offset";

/// Opens an answer to all.
pub(super) async fn open(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    // Pages that isolate themselves may embed it all the same.
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
    response
}

/// The answer to `OPTIONS`, of a browser or not.
pub(super) fn options() -> Response {
    let headers: [(HeaderName, &'static str); 4] = [
        (header::ALLOW, METHODS),
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    let mut headers: HeaderMap =
        headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    super::tus::announce(&mut headers);
    (StatusCode::NO_CONTENT, headers).into_response()
}
