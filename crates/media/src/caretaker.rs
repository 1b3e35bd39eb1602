//! The care for what is over: references that have ended or lead to what is blocked, objects that nothing refers to, equal contents, and what a kill has interrupted.
//!
//! One task for what has ended, and one for each backend, which deletes from it: a backend that is slow or away keeps nobody else's files from
//! ending. They begin with the service and look every [`crate::Settings::sweep_every`], those that delete also when something has ended. All in
//! pages ([`PAGE_MAX`]), each of one transaction, so that nobody else's writes wait long. What fails is logged and tried again at the next look.

use crate::Shared;
use crate::objects::Objects;
use chaski_store::StoreError;
use chaski_store::media::{Answer, Due, Edit, Name, ObjectId, PAGE_MAX, Place, Query};
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two pages.
const BREATH: Duration = Duration::from_millis(20);

/// The folder of thumbnails is looked through after so many times [`crate::Settings::thumbnails_swept_after`] in any case: an hour.
const SWEEP_ANYWAY: u32 = 60;

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

/// What an earlier run has left among the arrivals: settled if the index has a row for it, deleted if not. Before anything new arrives. And of what
/// it has left unfinished, what is whole.
pub(crate) fn settle_leftovers(shared: &Shared) {
    if let Err(error) = drop_finished(shared) {
        tracing::warn!(%error, "unfinished uploads of the last run could not be looked at; they go with their time");
    }
    if let Err(error) = try_settle_leftovers(shared) {
        tracing::warn!(%error, "files that were arriving at the last stop could not be looked at; the next start tries again");
    }
}

/// Ends uploads that have a row: a kill came between that and their end.
fn drop_finished(shared: &Shared) -> Result<(), Failed> {
    let now_unix_ms = shared.time.unix_ms();
    for name in shared.staging.which(|it| it.offset == it.size) {
        if let Answer::Reference(Some(_)) = shared.index.ask(Query::Reference { name, now_unix_ms })? {
            shared.staging.end(name)?;
        }
    }
    shared.note_unfinished();
    Ok(())
}

fn try_settle_leftovers(shared: &Shared) -> Result<(), Failed> {
    for (place, objects) in shared.stores.all() {
        settle_arrivals(shared, place, &**objects)?;
    }
    Ok(())
}

fn settle_arrivals(shared: &Shared, place: &str, objects: &dyn Objects) -> Result<(), Failed> {
    for page in objects.arrivals()?.chunks(PAGE_MAX) {
        let Answer::Objects(known) = shared.index.ask(Query::Known { objects: page.to_vec() })? else {
            return Err(Failed::Odd);
        };
        let (whole, half): (Vec<ObjectId>, Vec<ObjectId>) =
            page.iter().partition(|object| known.contains(object));
        whole.iter().try_for_each(|object| objects.settle(*object))?;
        match objects.is_remote() {
            // No start waits for a network: the first look deletes them.
            true => half.iter().for_each(|object| drop(shared.strays.note(*object, &place.into()))),
            false => objects.delete(&half)?,
        }
        shared.metrics.leftovers_deleted_total.add(half.len() as u64);
        tracing::info!(
            whole = whole.len(),
            half = half.len(),
            "files that were arriving at the last stop are seen to"
        );
    }
    Ok(())
}

/// Without a backend that rows name, files that people were promised can't be served, and what has ended can't be deleted.
pub(crate) fn require_places(shared: &Shared) -> io::Result<()> {
    let Answer::Places(places) = shared.index.ask(Query::Places).map_err(io::Error::other)? else {
        return Err(io::Error::other(Failed::Odd));
    };
    let missing = shared.stores.missing(&places);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|place| format!("media.{place}")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "files lie in {names}, which the settings do not name any more; name it until they have ended (nothing new goes there with no types and 0 bytes)"
    );
    Err(io::Error::other(text))
}

/// Looks until it is told to stop.
pub(crate) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let (has_ended, mut thumbnails) = (watch::Sender::new(()), Sweep::default());
    for (place, _) in shared.stores.all() {
        let of = (shared.clone(), Place::from(place), thumbnails.noted.clone());
        shared.runtime.spawn(run_deletions(of, has_ended.subscribe(), stop.clone()));
    }
    loop {
        if let Err(error) = look(&shared, &mut thumbnails, &has_ended).await {
            shared.metrics.looks_failed_total.inc();
            tracing::warn!(%error, "files that have ended could not be seen to; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(shared.settings.sweep_every) => {}
            () = shared.due.notified() => {}
            _ = stop.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// The same for what is to be deleted from one backend.
async fn run_deletions(
    (shared, place, noted): (Arc<Shared>, Place, Noted),
    mut has_ended: watch::Receiver<()>,
    mut stop: watch::Receiver<bool>,
) {
    let mut from = None;
    loop {
        if let Err(error) = look_in(&shared, &place, &noted, &mut from).await {
            shared.metrics.looks_failed_total.inc();
            tracing::warn!(%place, %error, "files that have ended can't be deleted from their backend; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(shared.settings.sweep_every) => {}
            // Without one who says it, time alone counts.
            Ok(()) = has_ended.changed() => {}
            _ = stop.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Page after page, each on a thread that may wait, until nothing is due. With nothing to do it reads, and writes nothing.
async fn look(
    shared: &Arc<Shared>,
    thumbnails: &mut Sweep,
    has_ended: &watch::Sender<()>,
) -> Result<(), Failed> {
    blocking(shared, drop_unfinished).await?;
    while blocking(shared, page).await? {
        // Nobody listens where no backend is.
        has_ended.send_replace(());
        thumbnails.noted.note();
        tokio::time::sleep(BREATH).await;
    }
    if thumbnails.is_due(shared.settings.thumbnails_swept_after) {
        blocking(shared, sweep_thumbnails).await?;
        thumbnails.done();
    }
    Ok(())
}

/// What of this backend's is over: strays, then page after page, once around from where the last look has stopped: what can't be
/// deleted is asked for again when everything else was.
async fn look_in(
    shared: &Arc<Shared>,
    place: &Place,
    noted: &Noted,
    from: &mut Option<ObjectId>,
) -> Result<(), Failed> {
    let at = place.clone();
    let mut looked = blocking(shared, move |shared| delete_strays(shared, &at)).await;
    let mut is_last_round = from.is_none();
    loop {
        let (at, after) = (place.clone(), *from);
        let page = blocking(shared, move |shared| delete_page(shared, at, after)).await?;
        let Some(Page { reached, is_given_up, refused }) = page else {
            *from = None;
            if std::mem::replace(&mut is_last_round, true) {
                return looked;
            }
            continue;
        };
        *from = Some(reached);
        if let Some(error) = refused {
            looked = looked.and(Err(error.into()));
        }
        if is_given_up {
            return looked;
        }
        noted.note();
        tokio::time::sleep(BREATH).await;
    }
}

async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let of = shared.clone();
    let done = shared.runtime.spawn_blocking(move || work(&of)).await;
    done.map_err(|error| Failed::Backend(io::Error::other(error)))?
}

/// When the folder of thumbnails is to be looked through. A thumbnail may be in the making while its reference ends, so it is later than
/// that; and now and then in any case, since the end of an account is not told here. It counts from the first that has ended: where something
/// does all the time, no time would be long enough after the last.
#[derive(Default)]
struct Sweep {
    noted: Noted,
    done: Option<Instant>,
}

/// When something ended, or was deleted, first since the last time.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Option<Instant>>>);

impl Noted {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }
}

impl Sweep {
    fn is_due(&self, after: Duration) -> bool {
        let is_old = |at: Instant, age: Duration| at.elapsed() >= age;
        self.noted.lock().is_some_and(|at| is_old(at, after))
            || self.done.is_none_or(|at| is_old(at, after * SWEEP_ANYWAY))
    }

    fn done(&mut self) {
        *self.noted.lock() = None;
        self.done = Some(Instant::now());
    }
}

/// Deletes the thumbnails of references that are no more.
fn sweep_thumbnails(shared: &Shared) -> Result<(), Failed> {
    let Some(thumbnails) = &shared.thumbnails else { return Ok(()) };
    let now_unix_ms = shared.time.unix_ms();
    let mut failed = None;
    thumbnails.sweep(|name| {
        let Some(name) = Name::parse(name) else { return false };
        match shared.index.ask(Query::Reference { name, now_unix_ms }) {
            Ok(Answer::Reference(found)) => found.is_some(),
            // Rather one too many.
            Ok(_) => true,
            Err(error) => {
                failed = Some(error);
                true
            }
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Ends unfinished uploads whose time is over. One that is in use goes at the next look.
fn drop_unfinished(shared: &Shared) -> Result<(), Failed> {
    let now_unix_ms = shared.time.unix_ms();
    for name in shared.staging.which(|it| it.expires_unix_ms <= now_unix_ms) {
        let Some(_using) = shared.places.begin_idle(name) else { continue };
        shared.staging.end(name)?;
        shared.metrics.unfinished_expired_total.inc();
    }
    shared.note_unfinished();
    Ok(())
}

/// Deletes what this backend may have and no row names. What can't be deleted now is tried again at the next look.
fn delete_strays(shared: &Shared, place: &Place) -> Result<(), Failed> {
    let objects = shared.stores.at(place)?;
    let mut strays = shared.strays.take(place);
    let mut deleting = Deleting::from(&**objects);
    strays.chunks(PAGE_MAX).for_each(|page| deleting.try_all(page));
    let gone: HashSet<ObjectId> = deleting.gone.into_iter().collect();
    strays.retain(|stray| !gone.contains(stray));
    strays.into_iter().for_each(|stray| drop(shared.strays.note(stray, place)));
    deleting.refused.map_or(Ok(()), |error| Err(error.into()))
}

/// A page of what has ended; whether there was anything.
fn page(shared: &Shared) -> Result<bool, Failed> {
    let now_unix_ms = shared.time.unix_ms();
    let due = due(shared, "".into(), None, 0)?;
    if due.has_new {
        done(shared.index.edit(Edit::Merge { limit: PAGE_MAX })?)?;
    }
    if due.has_ended {
        let ended = done(shared.index.edit(Edit::Expire { now_unix_ms, limit: PAGE_MAX })?)?;
        shared.metrics.expired_total.add(ended as u64);
    }
    if due.has_blocked {
        let dropped = done(shared.index.edit(Edit::DropBlocked { limit: PAGE_MAX })?)?;
        shared.metrics.removed_total.add(dropped as u64);
    }
    Ok(due.has_new || due.has_ended || due.has_blocked)
}

/// A page of what is doomed was tried.
struct Page {
    /// Up to this one.
    reached: ObjectId,
    /// The backend refuses everything.
    is_given_up: bool,
    /// Why some could not be deleted.
    refused: Option<io::Error>,
}

/// Deletes a page of what is doomed in a place, behind this one. `None`: there is nothing. The way back of [`crate::objects`].
fn delete_page(shared: &Shared, place: Place, after: Option<ObjectId>) -> Result<Option<Page>, Failed> {
    let doomed = due(shared, place.clone(), after, PAGE_MAX)?.doomed;
    let Some(last) = doomed.last() else { return Ok(None) };
    let mut deleting = Deleting::from(&**shared.stores.at(&place)?);
    deleting.try_all(&doomed);
    let Deleting { gone, reached, refused, .. } = deleting;
    if !gone.is_empty() {
        shared.metrics.deleted_total.add(gone.len() as u64);
        done(shared.index.edit(Edit::Deleted { objects: gone })?)?;
    }
    let reached = reached.unwrap_or(*last);
    Ok(Some(Page { reached, is_given_up: reached != *last, refused }))
}

/// Finds those of a page that a backend does not delete, so that they keep no others: what is refused together is tried by halves.
/// A backend that is away refuses all, and is asked no more after so many refusals in a row: a page halved to one, and another.
struct Deleting<'a> {
    from: &'a dyn Objects,
    gone: Vec<ObjectId>,
    /// The last that was tried.
    reached: Option<ObjectId>,
    refused_in_a_row: u32,
    /// Why, the first time.
    refused: Option<io::Error>,
}

impl<'a> Deleting<'a> {
    const REFUSED_IN_A_ROW_MAX: u32 = 2 + PAGE_MAX.ilog2();

    fn from(objects: &'a dyn Objects) -> Self {
        Self { from: objects, gone: Vec::new(), reached: None, refused_in_a_row: 0, refused: None }
    }

    /// A page at most.
    fn try_all(&mut self, objects: &[ObjectId]) {
        let Some(last) = objects.last() else { return };
        if self.refused_in_a_row >= Self::REFUSED_IN_A_ROW_MAX {
            return;
        }
        self.reached = Some(*last);
        match self.from.delete(objects) {
            Ok(()) => {
                self.refused_in_a_row = 0;
                self.gone.extend_from_slice(objects);
            }
            Err(error) => {
                self.refused_in_a_row += 1;
                self.refused.get_or_insert(error);
                if let (first, second @ [_, ..]) = objects.split_at(objects.len().div_ceil(2)) {
                    self.try_all(first);
                    self.try_all(second);
                }
            }
        }
    }
}

fn due(shared: &Shared, place: Place, after: Option<ObjectId>, limit: usize) -> Result<Due, Failed> {
    match shared.index.ask(Query::Due { now_unix_ms: shared.time.unix_ms(), place, after, limit })? {
        Answer::Due(due) => Ok(due),
        _ => Err(Failed::Odd),
    }
}

fn done(answer: Answer) -> Result<usize, Failed> {
    match answer {
        Answer::Done(count) => Ok(count),
        _ => Err(Failed::Odd),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn where_something_ends_all_the_time_thumbnails_go_all_the_same() {
        let (mut sweep, after) = (Sweep::default(), Duration::from_secs(60));
        assert!(sweep.is_due(after), "a start looks");
        sweep.done();
        for _ in 0..4 {
            assert!(!sweep.is_due(after));
            sweep.noted.note();
            tokio::time::advance(Duration::from_secs(15)).await;
        }
        assert!(sweep.is_due(after));
        sweep.done();
        tokio::time::advance(after * SWEEP_ANYWAY - Duration::from_secs(1)).await;
        assert!(!sweep.is_due(after));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sweep.is_due(after), "and now and then");
    }
}
