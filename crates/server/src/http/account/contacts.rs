//! Contact sync over HTTPS: `/v1/contacts`.
//!
//! - `PUT {numbers, ver?}`: the whole phone book. `PATCH {add?, remove?, ver?}`: what has changed. `GET`: nothing. All answer
//!   `{ver, count, matches: [{number, jid}], invalid}`; `DELETE`: nobody is known any more.
//! - `number` is spelled as in the request, else in E.164; `invalid` are texts that are no numbers, at most [`INVALID_MAX`].
//! - `ver` changes with the matches only: a request that names the current one is answered `{ver, count, unchanged: true,
//!   invalid}`, a `GET` with `If-None-Match` by 304.
//! - More new numbers than the quota has left: 429 with `Retry-After`, and nothing is changed.

use super::{AccountApi, Proved};
use crate::http::problem::Problem;
use crate::http::registration;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use chaski_services::account::phone::Home;
use chaski_services::effects::turn::command::{BookChange, BookView};
use chaski_store::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a body: 50,000 numbers with generous spelling.
const BODY_BYTES: usize = 2 << 20;
/// Texts that are no numbers and are said to be.
const INVALID_MAX: usize = 1_000;

pub(super) fn routes() -> Router<Arc<AccountApi>> {
    let methods = get(show).put(replace).patch(change).delete(clear).fallback(registration::wrong_method);
    Router::new().route("/v1/contacts", methods)
}

#[derive(Deserialize)]
struct ReplaceBody {
    numbers: Vec<String>,
    #[serde(default)]
    ver: Option<String>,
}

#[derive(Deserialize)]
struct ChangeBody {
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    ver: Option<String>,
}

#[derive(Serialize)]
struct AnswerBody<'a> {
    ver: &'a str,
    /// How many numbers the book has.
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<Vec<MatchBody>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unchanged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid: Vec<String>,
}

#[derive(Serialize)]
struct MatchBody {
    number: String,
    jid: String,
}

/// Numbers read from a request, and how they were written.
#[derive(Default)]
struct Spelled {
    spelled: HashMap<u64, String>,
    invalid: Vec<String>,
}

impl Spelled {
    fn read(&mut self, home: Home, texts: Vec<String>) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(texts.len());
        for text in texts {
            match home.read(&text) {
                Some(number) => {
                    numbers.push(number);
                    self.spelled.insert(number, text);
                }
                None if self.invalid.len() < INVALID_MAX => self.invalid.push(text),
                None => {}
            }
        }
        numbers
    }
}

async fn show(
    proved: Proved,
    State(api): State<Arc<AccountApi>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = api.ask(proved, BookChange::Show).await?;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let etag = format!("\"{}\"", view.version);
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(answer(&api, &view, Spelled::default(), None))
}

async fn replace(
    proved: Proved,
    State(api): State<Arc<AccountApi>>,
    request: Request,
) -> Result<Response, Problem> {
    let complete = api.bodies.read(proved.account, request, BODY_BYTES).await?;
    let _place = api.bodies.place().await?;
    let body: ReplaceBody = complete.parse()?;
    let ver = body.ver;
    let (spelled, change) =
        spell(proved.account, move |home, spelled| BookChange::Replace(spelled.read(home, body.numbers)))
            .await?;
    let view = api.ask(proved, change).await?;
    Ok(answer(&api, &view, spelled, ver))
}

async fn change(
    proved: Proved,
    State(api): State<Arc<AccountApi>>,
    request: Request,
) -> Result<Response, Problem> {
    let complete = api.bodies.read(proved.account, request, BODY_BYTES).await?;
    let _place = api.bodies.place().await?;
    let body: ChangeBody = complete.parse()?;
    let ver = body.ver;
    let (spelled, change) = spell(proved.account, move |home, spelled| BookChange::Change {
        add: spelled.read(home, body.add),
        remove: spelled.read(home, body.remove),
    })
    .await?;
    let view = api.ask(proved, change).await?;
    Ok(answer(&api, &view, spelled, ver))
}

async fn clear(proved: Proved, State(api): State<Arc<AccountApi>>) -> Result<StatusCode, Problem> {
    api.ask(proved, BookChange::Replace(Vec::new())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads numbers where that may take a while.
async fn spell(
    account: AccountId,
    read: impl FnOnce(Home, &mut Spelled) -> BookChange + Send + 'static,
) -> Result<(Spelled, BookChange), Problem> {
    let work = move || {
        let mut spelled = Spelled::default();
        let change = read(Home::of(account), &mut spelled);
        (spelled, change)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "reading phone numbers panicked");
        Problem::unavailable("internal error")
    })
}

fn answer(api: &AccountApi, view: &BookView, mut spelled: Spelled, known: Option<String>) -> Response {
    let unchanged = known.is_some_and(|known| known == view.version);
    let matches = (!unchanged).then(|| {
        let entry = |&number: &u64| MatchBody {
            number: spelled.spelled.remove(&number).unwrap_or_else(|| format!("+{number}")),
            jid: format!("+{number}@{}", api.domain),
        };
        view.matches.iter().map(entry).collect()
    });
    let (ver, count) = (&*view.version, view.numbers);
    let body = AnswerBody { ver, count, matches, unchanged, invalid: spelled.invalid };
    let headers = [
        (header::ETAG, format!("\"{}\"", view.version)),
        // Whoever keeps it has to ask whether it still holds.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    (headers, Json(body)).into_response()
}
