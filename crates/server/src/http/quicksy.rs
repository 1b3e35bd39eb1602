//! The two calls of Quicksy's app, which can be built for any domain: `GET /authentication/{+E164}` asks for a code, and
//! `POST /password` gives it back together with a password that the app has made.
//!
//! The statuses are that app's: 401 wrong code, 404 code no longer valid, 429 later (`Retry-After` in seconds), 400 bad
//! input, 451 country not served; 403 means to it that the app is too old, and is used for what no waiting helps. The
//! bodies of errors are problem documents, which the app ignores. The app knows no registrations, only a number: each network has
//! a registration of its own for it, so that nobody elsewhere can spend its guesses. Asking for a code is a GET, so what the app
//! sends with it is demanded: no page, image or link on the web can make a browser send that.

use super::problem::Problem;
use super::registration::{RegistrationApi, problem, read, text_of};
use axum::Router;
use axum::extract::{ConnectInfo, Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::routing::{get, post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaski_services::rooms::accounts::registration::{RegistrationError, Request, Transport};
use std::net::SocketAddr;
use std::sync::Arc;

/// A UUID that the app makes when it is installed. No browser sends it unasked, nor to another origin without asking us.
const INSTALLATION_ID: HeaderName = HeaderName::from_static("installation-id");
/// Longest value of the headers that are demanded.
const HEADER_BYTES_MAX: usize = 200;

pub(super) fn routes() -> Router<Arc<RegistrationApi>> {
    Router::new().route("/authentication/{number}", get(authentication)).route("/password", post(password))
}

async fn authentication(
    State(api): State<Arc<RegistrationApi>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    check_app(&headers)?;
    let locale = text_of(&headers, &header::ACCEPT_LANGUAGE);
    let client = text_of(&headers, &header::USER_AGENT);
    let begun = api.step(move |registrar, now, rng| {
        let request = Request {
            phone: &number,
            transport: Transport::Sms,
            locale: locale.as_deref(),
            client: client.as_deref(),
            network: Some(peer.ip()),
        };
        registrar.begin_by_number(request, now, rng)
    });
    api.deliver(begun.await.map_err(quicksy_problem)?).await?;
    Ok(StatusCode::OK)
}

/// What tells the app's request from one that a page has made a browser send.
fn check_app(headers: &HeaderMap) -> Result<(), Problem> {
    let is_given = |name: &HeaderName| {
        text_of(headers, name).is_some_and(|text| !text.trim().is_empty() && text.len() <= HEADER_BYTES_MAX)
    };
    if is_given(&header::USER_AGENT) && is_given(&INSTALLATION_ID) {
        return Ok(());
    }
    let detail = "the headers User-Agent and Installation-Id are missing; the app sends them";
    Err(Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail))
}

async fn password(
    State(api): State<Arc<RegistrationApi>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: HttpRequest,
) -> Result<StatusCode, Problem> {
    let (number, code) = number_and_code(request.headers()).ok_or_else(|| {
        let detail = "the Authorization header must be the base64 of NUL, number, NUL, code";
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    })?;
    let body = read(request, &api).await?;
    let password =
        String::from_utf8(body.to_vec()).map_err(|_| quicksy_problem(RegistrationError::BadPassword))?;
    let network = Some(peer.ip());
    let step = api.step(move |registrar, now, rng| {
        registrar.confirm_password(&number, (&code, network), &password, now, rng)
    });
    let registered = step.await.map_err(quicksy_problem)?;
    Ok(if registered.is_new() { StatusCode::CREATED } else { StatusCode::OK })
}

/// The header holds no scheme word.
fn number_and_code(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (number, code) = decoded.strip_prefix('\0')?.split_once('\0')?;
    Some((number.to_owned(), code.to_owned()))
}

fn quicksy_problem(error: RegistrationError) -> Problem {
    use RegistrationError as E;
    let status = match &error {
        E::NotACode | E::WrongCode { .. } => Some(StatusCode::UNAUTHORIZED),
        E::CodeExpired | E::Unknown | E::Dead | E::Used => Some(StatusCode::NOT_FOUND),
        E::TooSoon { .. }
        | E::TooMany { .. }
        | E::Locked { .. }
        | E::TooManyLockPins { .. }
        | E::NoMoreCodes => Some(StatusCode::TOO_MANY_REQUESTS),
        E::NotServed => Some(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS),
        _ => None,
    };
    let no_more = matches!(error, E::NoMoreCodes);
    let mut problem = problem(error);
    if no_more {
        // The registration is over at the latest then, and the next request begins another one.
        problem = problem.retry_after_ms(30 * 60_000);
    }
    match status {
        Some(StatusCode::UNAUTHORIZED) => {
            problem.with_status(StatusCode::UNAUTHORIZED).challenge("PIN realm=\"registration\"")
        }
        Some(status) => problem.with_status(status),
        None => problem,
    }
}

#[cfg(test)]
mod tests;
