//! The care for what is over: references that have ended, objects that nothing refers to, equal contents, and what a kill has interrupted.
//!
//! One task, which begins with the service and looks every [`crate::Settings::sweep_every`]. All in pages
//! ([`PAGE_MAX`]), each of one transaction, so that nobody else's writes wait long. What fails is logged and tried again at the next look.

use crate::Shared;
use chaski_store::StoreError;
use chaski_store::media::{Answer, Edit, ObjectId, PAGE_MAX, Query};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two pages.
const BREATH: Duration = Duration::from_millis(20);

/// Why a look has failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Index(#[from] StoreError),
    #[error("{0}")]
    Backend(#[from] io::Error),
    #[error("the index has answered something else")]
    Odd,
}

/// What an earlier run has left among the arrivals: settled if the index has a row for it, deleted if not. Before anything new arrives.
pub(crate) fn settle_leftovers(shared: &Shared) {
    if let Err(error) = try_settle_leftovers(shared) {
        tracing::warn!(%error, "files that were arriving at the last stop could not be looked at; the next start tries again");
    }
}

fn try_settle_leftovers(shared: &Shared) -> Result<(), Failed> {
    let arrivals = shared.objects.arrivals()?;
    for page in arrivals.chunks(PAGE_MAX) {
        let Answer::Objects(known) = shared.index.ask(Query::Known { objects: page.to_vec() })? else {
            return Err(Failed::Odd);
        };
        let (whole, half): (Vec<ObjectId>, Vec<ObjectId>) =
            page.iter().partition(|object| known.contains(object));
        whole.iter().try_for_each(|object| shared.objects.settle(*object))?;
        shared.objects.delete(&half)?;
        shared.metrics.leftovers_deleted_total.add(half.len() as u64);
        tracing::info!(
            whole = whole.len(),
            half = half.len(),
            "files that were arriving at the last stop are seen to"
        );
    }
    Ok(())
}

/// Looks until it is told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(error) = look(&shared).await {
            shared.metrics.looks_failed_total.inc();
            tracing::warn!(%error, "files that have ended could not be seen to; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(shared.settings.sweep_every) => {}
            _ = stop.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Page after page, each on a thread that may wait, until nothing is due. With nothing to do it reads, and writes nothing.
async fn look(shared: &Arc<Shared>) -> Result<(), Failed> {
    loop {
        let of = shared.clone();
        let done = shared.runtime.spawn_blocking(move || page(&of)).await;
        if !done.map_err(|error| Failed::Backend(io::Error::other(error)))?? {
            return Ok(());
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// A page of all that is due; whether there was anything.
fn page(shared: &Shared) -> Result<bool, Failed> {
    let now_unix_ms = shared.time.unix_ms();
    let Answer::Due(due) = shared.index.ask(Query::Due { now_unix_ms, limit: PAGE_MAX })? else {
        return Err(Failed::Odd);
    };
    if due.has_new {
        done(shared.index.edit(Edit::Merge { limit: PAGE_MAX })?)?;
    }
    if due.has_ended {
        let ended = done(shared.index.edit(Edit::Expire { now_unix_ms, limit: PAGE_MAX })?)?;
        shared.metrics.expired_total.add(ended as u64);
    }
    let has_doomed = !due.doomed.is_empty();
    if has_doomed {
        shared.objects.delete(&due.doomed)?;
        shared.metrics.deleted_total.add(due.doomed.len() as u64);
        done(shared.index.edit(Edit::Deleted { objects: due.doomed })?)?;
    }
    Ok(due.has_new || due.has_ended || has_doomed)
}

fn done(answer: Answer) -> Result<usize, Failed> {
    match answer {
        Answer::Done(count) => Ok(count),
        _ => Err(Failed::Odd),
    }
}
