//! A change of number over HTTPS: `POST /v1/account/number`.
//!
//! `{registration, code, lock_pin?}`: `registration` was begun for the new number by `POST /v1/registrations`, and `code` is its
//! code. `Authorization` is the old number's. Answered as a registration is: `{jid, key, domain, hosts}`. 409 `messages-wait`:
//! fetch them first; 409 `number-taken`: the new number's account has to be removed first. Whoever gets no answer asks again,
//! with the same registration or, if that is used up, with another one.

use super::{AccountApi, Claimed};
use crate::http::problem::Problem;
use crate::http::registration::{self, JsonBody};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use chaski_services::rooms::accounts::registration::Confirmation;
use serde::Deserialize;
use std::sync::Arc;

/// Bytes of a body.
const BODY_BYTES: usize = 4 << 10;

pub(super) fn routes() -> Router<Arc<AccountApi>> {
    Router::new()
        .route("/v1/account/number", post(change).fallback(registration::wrong_method))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

#[derive(Deserialize)]
struct ChangeBody {
    registration: String,
    code: String,
    #[serde(default)]
    lock_pin: Option<String>,
}

async fn change(
    claimed: Claimed,
    State(api): State<Arc<AccountApi>>,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<Response, Problem> {
    let old = claimed.prove(&api.registration).await?;
    let changed = api.registration.step(move |registrar, now, rng| {
        let lock_pin = body.lock_pin.as_deref();
        let confirmation = Confirmation { code: &body.code, lock_pin, ..Confirmation::default() };
        registrar.change_number(old, &body.registration, confirmation, now, rng)
    });
    let registered = changed.await.map_err(registration::problem)?;
    Ok(api.registration.registered(&registered))
}
