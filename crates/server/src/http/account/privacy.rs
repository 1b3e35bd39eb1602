//! Privacy settings over HTTPS: `/v1/account/privacy`.
//!
//! - `GET` answers all rules: `{"last_seen": {"show": "contacts", "always": ["+15551230001"], "never": []}, "online": …,
//!   "photo": …, "status": …, "read_marks": …}`; `show` is `everyone`, `contacts` or `nobody`, and empty lists are left out.
//! - `PATCH` changes what it names and leaves the rest; `PUT` also sets what it does not name as it was at first. Both answer
//!   like `GET`, once the change is durable and in force.
//!
//! What is refused changes nothing.

use super::{AccountApi, Proved};
use crate::http::problem::Problem;
use crate::http::registration;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use chaski_services::account::settings::Patch;
use chaski_services::effects::turn::command::{PrivacyChange, SetPrivacy};
use std::sync::Arc;

/// Bytes of a body: all exceptions that there may be, with long names.
const BODY_BYTES: usize = 512 << 10;

pub(super) fn routes() -> Router<Arc<AccountApi>> {
    let methods = get(show).put(replace).patch(change).fallback(registration::wrong_method);
    Router::new().route("/v1/account/privacy", methods)
}

async fn show(proved: Proved, State(api): State<Arc<AccountApi>>) -> Result<Response, Problem> {
    ask(&api, proved, None).await
}

async fn replace(
    proved: Proved,
    State(api): State<Arc<AccountApi>>,
    request: Request,
) -> Result<Response, Problem> {
    set(&api, proved, request, true).await
}

async fn change(
    proved: Proved,
    State(api): State<Arc<AccountApi>>,
    request: Request,
) -> Result<Response, Problem> {
    set(&api, proved, request, false).await
}

async fn set(api: &AccountApi, proved: Proved, request: Request, whole: bool) -> Result<Response, Problem> {
    let complete = api.bodies.read(proved.account, request, BODY_BYTES).await?;
    let _place = api.bodies.place().await?;
    let patch: Patch = complete.parse()?;
    ask(api, proved, Some(PrivacyChange { patch, whole })).await
}

async fn ask(api: &AccountApi, proved: Proved, change: Option<PrivacyChange>) -> Result<Response, Problem> {
    let view = api.ask(proved, SetPrivacy(change)).await?;
    Ok(([(header::CACHE_CONTROL, "private, no-store")], Json(view)).into_response())
}
