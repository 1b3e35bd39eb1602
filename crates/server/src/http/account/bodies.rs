//! Bodies of requests, which may be large and come slowly, and the places for what is done with them.
//!
//! Promises: a body is read before anything is taken that others wait for. What is read holds bytes of a common
//! store as they come, at most [`BYTES_MAX`], and an account has at most [`PER_ACCOUNT`] bodies at once, so that one alone can't fill
//! it; beyond either the request is refused (429, 503) and may be sent again. At most [`WORKING_MAX`] are worked on at once, in the order in which
//! they were complete.

use crate::http::problem::Problem;
use crate::http::registration;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use chaski_store::AccountId;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Most bodies that are worked on at once.
const WORKING_MAX: usize = 16;
/// Most bodies of one account, being read or worked on.
const PER_ACCOUNT: usize = 2;
/// Most bytes of all bodies: sixteen accounts with as much as each may have.
const BYTES_MAX: usize = 64 << 20;

chaski_telemetry::metrics! {
    /// What is counted of requests with large bodies.
    pub struct BodyMetrics("chaski_http_bodies") {
        /// Bodies being read or worked on.
        open: Gauge,
        /// Refused because their account has others.
        refused_account_total: Counter,
        /// Refused because all bodies together are too large.
        refused_bytes_total: Counter,
    }
}

/// See the module. One for the process.
pub(super) struct Bodies {
    accounts: Mutex<HashMap<AccountId, usize>>,
    bytes: Arc<Semaphore>,
    working: Semaphore,
    pub(super) metrics: Arc<BodyMetrics>,
}

/// A body that is here. Its bytes are counted for as long as this lives.
pub(super) struct Complete {
    bytes: Vec<u8>,
    _held: Option<OwnedSemaphorePermit>,
    _turn: Turn,
}

impl Complete {
    /// What it says.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        registration::parse_json(&self.bytes)
    }
}

/// That an account has a body.
struct Turn(Arc<Bodies>, AccountId);

impl Bodies {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            accounts: Mutex::default(),
            bytes: Arc::new(Semaphore::new(BYTES_MAX)),
            working: Semaphore::new(WORKING_MAX),
            metrics: Arc::default(),
        })
    }

    /// Reads the JSON of a request of this account, of at most so many bytes.
    pub(super) async fn read(
        self: &Arc<Self>,
        account: AccountId,
        request: Request,
        bytes_max: usize,
    ) -> Result<Complete, Problem> {
        registration::check_json(request.headers())?;
        let turn = self.enter(account)?;
        let mut body = request.into_body();
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > bytes_max {
            return Err(registration::too_large());
        }
        // Memory that is not written to costs nothing yet.
        let (mut bytes, mut held) = (Vec::with_capacity(announced), None);
        while let Some(piece) = next(&mut body).await? {
            if bytes.len() + piece.len() > bytes_max {
                return Err(registration::too_large());
            }
            self.hold(piece.len(), &mut held)?;
            bytes.extend_from_slice(&piece);
        }
        Ok(Complete { bytes, _held: held, _turn: turn })
    }

    /// A place to work on what is here.
    pub(super) async fn place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.working.acquire().await.map_err(|_| Problem::unavailable("the server is stopping"))
    }

    fn enter(self: &Arc<Self>, account: AccountId) -> Result<Turn, Problem> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = accounts.entry(account).or_insert(0);
        if *count >= PER_ACCOUNT {
            self.metrics.refused_account_total.inc();
            let detail = "another request of this account has not ended; send it again when it has";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
                .retry_after_ms(1_000));
        }
        *count += 1;
        self.metrics.open.add(1);
        Ok(Turn(self.clone(), account))
    }

    fn hold(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), Problem> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(more) = self.bytes.clone().try_acquire_many_owned(count) else {
            self.metrics.refused_bytes_total.inc();
            return Err(Problem::unavailable("too many large requests at once; try again in a minute"));
        };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut accounts = self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = accounts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                accounts.remove(&self.1);
            }
        }
        self.0.metrics.open.add(-1);
    }
}

/// The next piece of a body.
async fn next(body: &mut Body) -> Result<Option<axum::body::Bytes>, Problem> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
                // Trailers say nothing here.
            }
            Some(Err(_)) => return Err(registration::unreadable()),
        }
    }
}
