//! Registration over HTTPS: JSON in, JSON or a problem document out. The protocol is described in docs/registration.md.
//!
//! Called by the public HTTP listener. Reads requests (type, size, shape), runs the [`Registrar`] on the blocking pool,
//! and hands codes to the SMS desk. Promises: at most [`WORKING_MAX`] requests work at once, more are told to come
//! back; what a client did wrong is a 4xx that says so; keys and codes are never logged here.

mod body;
mod errors;
mod origin;
mod setup;

pub use origin::Origins;
pub use setup::{Host, HostTls, policy};

pub(super) use body::{JsonBody, basic_credentials, check_json, parse_json, read, too_large, unreadable};
pub(super) use errors::problem;

use super::problem::Problem;
use crate::Doors;
use crate::password_checks::Check;
use crate::sms::SmsDesk;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{post, put};
use body::BODY_BYTES;
use chaski_services::account::network::Network;
use chaski_services::account::record::AccountRecord;
use chaski_services::rooms::accounts::registration::{
    Begun, Claim, Confirmation, Kept, Registered, Registrar, RegistrationError, Request, Transport,
};
use chaski_services::rooms::accounts::verification::CODE_DIGITS;
use chaski_store::Time;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most requests that work on the blocking pool, or wait for it, at once.
pub const WORKING_MAX: usize = 128;
/// How often what is over is dropped from the tables.
const PURGE_INTERVAL: Duration = Duration::from_secs(300);
/// A client without tries left is answered after this time, so that going on costs the client more than the server.
const NO_TRIES_TIME: Duration = Duration::from_secs(1);
/// A client that proves nothing is answered after this time. Both times are extended at random up to twice their length, so that
/// they tell nothing of the work that was done.
const FAILURE_TIME: Duration = Duration::from_millis(100);

/// What the routes need. One for the process.
pub struct RegistrationApi {
    registrar: Registrar,
    sms: SmsDesk,
    doors: Doors,
    domain: String,
    hosts: Vec<Host>,
    now_unix_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    working: Arc<Semaphore>,
}

impl RegistrationApi {
    /// `domain` and `hosts` are told to clients that have registered; `doors` are [`crate::Edge::doors`].
    pub fn new(
        registrar: Registrar,
        sms: SmsDesk,
        doors: Doors,
        domain: &str,
        hosts: Vec<Host>,
        time: Arc<Time>,
    ) -> Arc<Self> {
        Self::with_clock(registrar, sms, doors, domain, hosts, move || time.unix_ms())
    }

    /// The same with another clock, for tests.
    pub fn with_clock(
        registrar: Registrar,
        sms: SmsDesk,
        doors: Doors,
        domain: &str,
        hosts: Vec<Host>,
        now_unix_ms: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Arc<Self> {
        let domain = domain.to_owned();
        Arc::new(Self {
            registrar: registrar.with_guesses(doors.guesses.clone()),
            sms,
            doors,
            domain,
            hosts,
            now_unix_ms: Box::new(now_unix_ms),
            working: Arc::new(Semaphore::new(WORKING_MAX)),
        })
    }

    /// Drops registrations and limits that are over, every few minutes, for as long as it is polled.
    pub async fn keep_clean(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PURGE_INTERVAL).await;
            let api = self.clone();
            let purged = tokio::task::spawn_blocking(move || api.registrar.purge((api.now_unix_ms)())).await;
            match purged {
                Ok(Ok(records)) => tracing::debug!(records, "old registrations and limits dropped"),
                Ok(Err(error)) => tracing::warn!(%error, "old registrations can't be dropped"),
                Err(error) => tracing::error!(%error, "dropping old registrations panicked"),
            }
        }
    }

    /// Runs a step of registration where blocking is allowed.
    pub(super) async fn step<T: Send + 'static>(
        self: &Arc<Self>,
        step: impl FnOnce(&Registrar, u64, &mut rand::rngs::ThreadRng) -> Result<T, RegistrationError>
        + Send
        + 'static,
    ) -> Result<T, RegistrationError> {
        let Ok(place) = self.working.clone().try_acquire_owned() else {
            return Err(RegistrationError::Unavailable("too many requests work at once".to_owned()));
        };
        let api = self.clone();
        let work = move || {
            // Held until the work is done, even if the client does not wait for it.
            let _place = place;
            step(&api.registrar, (api.now_unix_ms)(), &mut rand::rng())
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a step of registration panicked");
            Err(RegistrationError::Unavailable("internal error".to_owned()))
        })
    }

    /// The account that `user` and `key` prove; it may be switched off. Whatever is wrong is as much work, and told in the same
    /// words.
    pub(super) async fn prove(
        self: &Arc<Self>,
        user: String,
        key: String,
        network: Network,
    ) -> Result<AccountRecord, RegistrationError> {
        let begun = tokio::time::Instant::now();
        let proved = self.prove_now(user, key, network).await;
        let time = match &proved {
            Ok(_) => return proved,
            Err(RegistrationError::TooManyTries { .. }) => NO_TRIES_TIME,
            Err(_) => FAILURE_TIME,
        };
        let mut due = begun + time + time.mul_f64(rand::random());
        while due <= tokio::time::Instant::now() {
            due += time;
        }
        tokio::time::sleep_until(due).await;
        proved
    }

    /// The same as soon as it is known.
    async fn prove_now(
        self: &Arc<Self>,
        user: String,
        key: String,
        network: Network,
    ) -> Result<AccountRecord, RegistrationError> {
        let claim = self.step(move |registrar, now, _| registrar.claim(&user, key, network, now)).await;
        let mut claim = match claim? {
            Claim::Proved(record) => return Ok(record),
            Claim::Slow(claim) => claim,
        };
        let check = Check {
            network,
            credentials: claim.credentials.clone(),
            password: std::mem::take(&mut claim.key),
        };
        let is_right = self.doors.checks.check(check).await;
        self.registrar.settle(claim, is_right)
    }

    /// The answer to who has got a key.
    pub(super) fn registered(&self, registered: &Registered) -> Response {
        let body = RegisteredBody {
            jid: format!("{}@{}", registered.phone, self.domain),
            key: &registered.key,
            domain: &self.domain,
            hosts: &self.hosts,
            kept: registered.kept,
        };
        ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }

    /// Sends the code of a registration that was begun.
    pub(super) async fn deliver(self: &Arc<Self>, begun: Begun) -> Result<Begun, Problem> {
        let Some(delivery) = &begun.delivery else { return Ok(begun) };
        let Err(error) = self.sms.deliver(delivery).await else { return Ok(begun) };
        let failed = self.step(move |registrar, now, _| registrar.delivery_failed(&begun, now)).await;
        if let Err(error) = failed {
            tracing::warn!(%error, "a registration whose code was not sent stays as it is");
        }
        let detail = format!("the code could not be sent: {error}; try again in a minute");
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sms-failed", detail).retry_after_ms(60_000))
    }
}

/// The routes, those of Quicksy's included. `origins`: of pages that may ask for codes.
pub fn routes(api: Arc<RegistrationApi>, origins: Origins) -> Router {
    let asking = Router::new()
        .route("/v1/registrations", post(begin).fallback(wrong_method))
        .route("/v1/registrations/{id}/code", post(send_again).fallback(wrong_method))
        .merge(super::quicksy::routes())
        .layer(from_fn_with_state(origins, origin::own_pages_only));
    Router::new()
        .route("/v1/registrations/{id}", put(confirm).fallback(wrong_method))
        .route("/v1/registration-lock", put(set_lock).fallback(wrong_method))
        .merge(asking)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(api)
}

pub(super) async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "this address does not take this method")
}

#[derive(Deserialize)]
struct BeginBody {
    phone: String,
    #[serde(default)]
    transport: Option<Transport>,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    client: Option<String>,
}

#[derive(Serialize)]
struct StandingBody {
    id: String,
    code_length: usize,
    expires_in: u64,
    /// `false`: no more is sent to the number for a while, and the code that was sent last is right.
    sent: bool,
    next_sms: Option<u64>,
    next_voice: Option<u64>,
}

impl StandingBody {
    fn of(begun: &Begun) -> Self {
        let seconds = |ms: u64| ms.div_ceil(1000);
        Self {
            id: begun.id.clone(),
            code_length: CODE_DIGITS,
            expires_in: begun.standing.expires_in_ms / 1000,
            sent: begun.delivery.is_some(),
            next_sms: begun.standing.next_sms_in_ms.map(seconds),
            next_voice: begun.standing.next_voice_in_ms.map(seconds),
        }
    }
}

async fn begin(
    State(api): State<Arc<RegistrationApi>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<BeginBody>,
) -> Result<Response, Problem> {
    let locale = body.locale.or_else(|| text_of(&headers, &header::ACCEPT_LANGUAGE));
    let client = body.client.or_else(|| text_of(&headers, &header::USER_AGENT));
    let begun = api.step(move |registrar, now, rng| {
        let request = Request {
            phone: &body.phone,
            transport: body.transport.unwrap_or(Transport::Sms),
            locale: locale.as_deref(),
            client: client.as_deref(),
            network: Some(peer.ip()),
        };
        registrar.begin(request, now, rng)
    });
    let begun = api.deliver(begun.await.map_err(problem)?).await?;
    let location = [(header::LOCATION, format!("/v1/registrations/{}", begun.id))];
    Ok((StatusCode::CREATED, location, Json(StandingBody::of(&begun))).into_response())
}

#[derive(Deserialize)]
struct AgainBody {
    transport: Transport,
}

async fn send_again(
    State(api): State<Arc<RegistrationApi>>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    JsonBody(body): JsonBody<AgainBody>,
) -> Result<Response, Problem> {
    let network = Some(peer.ip());
    let begun = api
        .step(move |registrar, now, rng| registrar.send_again(&id, body.transport, network, now, rng))
        .await;
    let begun = api.deliver(begun.map_err(problem)?).await?;
    Ok(Json(StandingBody::of(&begun)).into_response())
}

#[derive(Deserialize)]
struct ConfirmBody {
    code: String,
    #[serde(default)]
    device_name: Option<String>,
    #[serde(default)]
    lock_pin: Option<String>,
    #[serde(default)]
    previous_key: Option<String>,
    #[serde(default)]
    device_token: Option<String>,
}

#[derive(Serialize)]
struct RegisteredBody<'a> {
    jid: String,
    key: &'a str,
    domain: &'a str,
    hosts: &'a [Host],
    kept: Kept,
}

async fn confirm(
    State(api): State<Arc<RegistrationApi>>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    JsonBody(body): JsonBody<ConfirmBody>,
) -> Result<Response, Problem> {
    let registered = api.step(move |registrar, now, rng| {
        let confirmation = Confirmation {
            code: &body.code,
            device_name: body.device_name.as_deref(),
            lock_pin: body.lock_pin.as_deref(),
            previous_key: body.previous_key.as_deref(),
            device_token: body.device_token.as_deref(),
            network: Some(peer.ip()),
        };
        registrar.confirm(&id, confirmation, now, rng)
    });
    Ok(api.registered(&registered.await.map_err(problem)?))
}

#[derive(Deserialize)]
struct LockBody {
    /// `null` takes the lock away; a missing member is a mistake.
    #[serde(deserialize_with = "Option::deserialize")]
    pin: Option<String>,
}

async fn set_lock(
    State(api): State<Arc<RegistrationApi>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<LockBody>,
) -> Result<StatusCode, Problem> {
    let (user, key) = basic_credentials(&headers).ok_or_else(|| problem(RegistrationError::NotAuthorized))?;
    let record = api.prove(user, key, Network::of(peer.ip())).await.map_err(problem)?;
    let step = api.step(move |registrar, _, rng| registrar.set_lock(record, body.pin.as_deref(), rng));
    step.await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests;
