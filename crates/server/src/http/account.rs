//! What the owner of an account does over HTTPS: each request proves the account by basic authentication (RFC 7617) with its
//! number and key, and becomes a request to the shard that owns it.
//!
//! Routes: [`contacts`] (`/v1/contacts`), [`privacy`] (`/v1/account/privacy`), [`number`] (`/v1/account/number`), and here `/v1/account`. Promises: nothing of a body is read before the account is
//! proved, nobody is proved over a connection that others can read, no account's slow bodies keep others waiting ([`bodies`]), and errors
//! are the problem documents of [`super::problem`].

mod bodies;
mod contacts;
mod number;
mod privacy;

pub use bodies::BodyMetrics;

use super::Arrival;
use super::problem::Problem;
use super::registration::{self, RegistrationApi};
use crate::owners;
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::delete;
use bodies::Bodies;
use chaski_services::account::network::Network;
use chaski_services::account::record::AccountRecord;
use chaski_services::effects::owners::Owners;
use chaski_services::effects::turn::command::{Refusal, RemoveAccount, Request, Whom};
use chaski_services::rooms::accounts::registration::RegistrationError;
use chaski_store::AccountId;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the routes need. One for the process.
pub struct AccountApi {
    registration: Arc<RegistrationApi>,
    owners: Owners,
    domain: String,
    bodies: Arc<Bodies>,
}

impl AccountApi {
    /// `registration` proves accounts, `owners` do what is asked.
    pub fn new(registration: Arc<RegistrationApi>, owners: Owners, domain: &str) -> Arc<Self> {
        let domain = domain.to_owned();
        Arc::new(Self { registration, owners, domain, bodies: Bodies::new() })
    }

    /// What is counted of bodies.
    pub fn metrics(&self) -> Arc<BodyMetrics> {
        self.bodies.metrics.clone()
    }

    /// Has the account's owner do something, if the key that was proved is still the account's: a body may take its time.
    async fn ask<R: Request>(&self, proved: Proved, request: R) -> Result<R::Answer, Problem> {
        let whom = Whom { account: proved.account, key: Some(proved.generation) };
        owners::ask(&self.owners, whom, request).await.map_err(refusal)
    }
}

/// The account that a request's `Authorization` has proved. Taken by handlers before they look at anything else.
#[derive(Clone, Copy)]
struct Proved {
    account: AccountId,
    /// The generation of the key that was proved.
    generation: u32,
}

impl FromRequestParts<Arc<AccountApi>> for Proved {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<AccountApi>) -> Result<Self, Problem> {
        let claimed = Claimed::from_request_parts(parts, api).await?;
        let record = claimed.prove(&api.registration).await?;
        if record.disabled {
            return Err(registration::problem(RegistrationError::AccountDisabled));
        }
        Ok(Self { account: record.name.account(), generation: record.generation() })
    }
}

/// What a request's `Authorization` claims: for handlers that read the body first.
struct Claimed {
    user: String,
    key: String,
    network: Network,
}

impl Claimed {
    /// The account, which may be switched off.
    async fn prove(self, registration: &Arc<RegistrationApi>) -> Result<AccountRecord, Problem> {
        let Self { user, key, network } = self;
        registration.prove(user, key, network).await.map_err(registration::problem)
    }
}

impl FromRequestParts<Arc<AccountApi>> for Claimed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<AccountApi>) -> Result<Self, Problem> {
        if !parts.extensions.get::<Arrival>().is_some_and(|arrival| arrival.protected) {
            let detail = "a key must not be sent where others can read it: use https, and get a new key";
            return Err(Problem::new(StatusCode::FORBIDDEN, "needs-tls", detail));
        }
        let (user, key) = registration::basic_credentials(&parts.headers)
            .ok_or_else(|| registration::problem(RegistrationError::NotAuthorized))?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let network = peer.map_or(Network::UNKNOWN, |ConnectInfo(peer)| Network::of(peer.ip()));
        Ok(Self { user, key, network })
    }
}

/// The problem of a refusal.
fn refusal(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        // The account existed when its key was checked.
        Refusal::NoSuchAccount => registration::problem(RegistrationError::NotAuthorized),
        Refusal::Conflict => Problem::new(StatusCode::CONFLICT, "conflict", detail),
        Refusal::Limited { retry_after_ms } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-new-contacts", detail)
                .retry_after_ms(retry_after_ms)
        }
        Refusal::NotAcceptable(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-acceptable", detail),
        Refusal::TooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-contacts", detail),
        Refusal::Unavailable(_) | Refusal::Overloaded => Problem::unavailable(detail),
    }
}

/// The routes.
pub fn routes(api: Arc<AccountApi>) -> Router {
    Router::new()
        .route("/v1/account", delete(remove).fallback(registration::wrong_method))
        .merge(contacts::routes())
        .merge(privacy::routes())
        .merge(number::routes())
        .with_state(api)
}

/// The account is to be no more: its key, roster, phone book, profile, messages.
async fn remove(proved: Proved, State(api): State<Arc<AccountApi>>) -> Result<StatusCode, Problem> {
    api.ask(proved, RemoveAccount).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests;
