//! Who asks for a thumbnail gets it: from the folder, from a making that is under way, or from one that begins now.
//!
//! Owns the table of what is being made. A making is a task of its own and not of whoever asked first: if that one hangs up, the others still
//! get theirs, and if all do, the picture is not looked at. All that blocks runs on tokio's threads for it, or on the workers' own.

use super::cache::{Cache, Kept};
use super::picture::{Encoding, Unfit};
use super::process::{Outcome, Program};
use super::workers::{Job, Ticket, Workers};
use super::{Object, Refusal, Settings, ThumbnailMetrics, Width};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A thumbnail that can be served.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    /// As what.
    pub encoding: Encoding,
    /// Its bytes. Others may read the same open file: read at offsets (`read_at`), not at its position.
    pub file: Arc<File>,
    /// How many.
    pub length: u64,
}

impl From<Kept> for Thumbnail {
    fn from(Kept { encoding, file, length }: Kept) -> Self {
        Self { encoding, file: Arc::new(file), length }
    }
}

type Answer = Result<Thumbnail, Refusal>;
type Key = (Object, Width);

/// Makes thumbnails and keeps them. Its workers end with it.
pub struct Thumbnails {
    workers: Arc<Workers<Order>>,
    shared: Arc<Shared>,
}

struct Shared {
    cache: Cache,
    makings: Mutex<HashMap<Key, Arc<Making>>>,
    makings_max: usize,
    metrics: Arc<ThumbnailMetrics>,
}

/// A thumbnail that is being made.
#[derive(Debug)]
struct Making {
    answer: watch::Sender<Option<Answer>>,
    /// The object was deleted meanwhile: what comes of it is not to be kept.
    is_forgotten: AtomicBool,
}

impl Thumbnails {
    /// Opens the folder and starts the threads; worker processes start when there is something to do.
    ///
    /// Blocks. To be called where the threads are to belong: in the process' own descriptor table, not on a shard.
    pub fn start(folder: &Path, program: Program, settings: Settings) -> io::Result<Self> {
        let metrics = Arc::new(ThumbnailMetrics::default());
        let cache = Cache::open(folder, settings.cache_bytes, settings.limits)?;
        metrics.kept_bytes.set(cache.bytes() as i64);
        let workers = Arc::new(Workers::start(program, settings, metrics.clone())?);
        let makings_max = settings.waiting_max + settings.workers;
        let shared = Arc::new(Shared { cache, makings: Mutex::default(), makings_max, metrics });
        Ok(Self { workers, shared })
    }

    /// For the registry.
    pub fn metrics(&self) -> Arc<ThumbnailMetrics> {
        self.shared.metrics.clone()
    }

    /// A thumbnail of `object`, which `open` opens if it has to be made.
    ///
    /// `open` must fail once the object is deleted: see [`Self::forget`].
    pub async fn get<O>(&self, object: &Object, width: Width, open: O) -> Result<Thumbnail, Refusal>
    where
        O: Future<Output = io::Result<File>> + Send + 'static,
    {
        let key = (object.clone(), width);
        if let Some(found) = self.shared.find(&key).await {
            self.shared.metrics.found_total.inc();
            return found;
        }
        let mut answer = self.join_or_begin(key, open)?;
        match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or(Err(Refusal::Unavailable)),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    /// How many files are kept, also of what is no picture, and how many bytes they are. Blocks.
    pub fn kept(&self) -> io::Result<(u64, u64)> {
        Ok((self.shared.cache.count()?, self.shared.cache.bytes()))
    }

    /// Deletes the thumbnails of an object, and what is known of it. Call it when the object itself can't be opened any more: then
    /// nothing is left, whoever has asked or asks meanwhile.
    pub async fn forget(&self, object: &Object) -> io::Result<()> {
        // Not to be joined by who asks for a new object of the same name.
        self.shared.makings().retain(|(of, _), making| {
            if of == object {
                making.is_forgotten.store(true, Ordering::SeqCst);
            }
            of != object
        });
        let object = object.clone();
        self.shared.clone().blocking(move |shared| shared.cache.forget(&object)).await?
    }

    /// Deletes the thumbnails of all objects that are not known any more, as a crash between the two deletions leaves them. Answers
    /// how many files that were. Blocks; to be called after the start.
    pub fn sweep(&self, is_known: impl FnMut(&str) -> bool) -> io::Result<u64> {
        let swept = self.shared.cache.sweep(is_known);
        self.shared.count_bytes();
        swept
    }

    fn join_or_begin<O>(&self, key: Key, open: O) -> Result<watch::Receiver<Option<Answer>>, Refusal>
    where
        O: Future<Output = io::Result<File>> + Send + 'static,
    {
        let mut makings = self.shared.makings();
        if let Some(making) = makings.get(&key) {
            self.shared.metrics.shared_total.inc();
            return Ok(making.answer.subscribe());
        }
        if makings.len() >= self.shared.makings_max {
            self.shared.metrics.refused_busy_total.inc();
            return Err(Refusal::Busy);
        }
        let (sender, answer) = watch::channel(None);
        let making = Arc::new(Making { answer: sender, is_forgotten: AtomicBool::new(false) });
        makings.insert(key.clone(), making.clone());
        drop(makings);
        let order = Order { shared: self.shared.clone(), key, making };
        tokio::spawn(begin(self.workers.clone(), order, open));
        Ok(answer)
    }
}

async fn begin(
    workers: Arc<Workers<Order>>,
    order: Order,
    open: impl Future<Output = io::Result<File>> + Send + 'static,
) {
    // Another making may have ended between the look into the folder and the one into the table.
    if let Some(found) = order.shared.find(&order.key).await {
        return order.tell(found);
    }
    let opened = open.await.and_then(|file| {
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok((file, metadata.len())) } else { Err(io::ErrorKind::InvalidInput.into()) }
    });
    let (file, length) = match opened {
        Ok(opened) => opened,
        Err(error) => return order.tell(Err(Refusal::Unreadable(error.kind()))),
    };
    let width = order.key.1.pixels();
    if let Err(job) = workers.submit(Job { file, length, width, ticket: order }) {
        job.ticket.shared.metrics.refused_busy_total.inc();
        job.ticket.tell(Err(Refusal::Busy));
    }
}

impl Shared {
    fn makings(&self) -> MutexGuard<'_, HashMap<Key, Arc<Making>>> {
        self.makings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(self: &Arc<Self>, key: &Key) -> Option<Answer> {
        let (object, width) = key.clone();
        let found = self.clone().blocking(move |shared| shared.cache.find(&object, width)).await;
        found.ok()?.map(|found| found.map(Thumbnail::from).map_err(Refusal::from))
    }

    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> io::Result<T> {
        let done = tokio::task::spawn_blocking(move || {
            let done = call(&self);
            self.count_bytes();
            done
        });
        done.await.map_err(io::Error::other)
    }

    fn count_bytes(&self) {
        self.metrics.kept_bytes.set(self.cache.bytes() as i64);
    }
}

/// One making, as the workers' threads have it. Dropped without an answer it answers that there is none.
struct Order {
    shared: Arc<Shared>,
    key: Key,
    making: Arc<Making>,
}

impl Ticket for Order {
    fn is_wanted(&self) -> bool {
        !self.making.answer.is_closed() && !self.making.is_forgotten.load(Ordering::SeqCst)
    }

    fn finish(self, outcome: Option<Outcome>) {
        let metrics = &self.shared.metrics;
        let answer = match outcome {
            Some(Outcome::Made(made)) => {
                metrics.made_total.inc();
                self.keep(made.encoding, &made.bytes)
            }
            Some(Outcome::Unfit(why)) => {
                match why {
                    Unfit::NotAPicture => metrics.not_pictures_total.inc(),
                    Unfit::TooLarge => metrics.too_large_total.inc(),
                }
                let kept = self.shared.cache.keep_unfit(&self.key.0, why, &self.making.is_forgotten);
                self.note(kept);
                Err(Refusal::Unfit(why))
            }
            Some(Outcome::Unreadable) => Err(Refusal::Unreadable(io::ErrorKind::Other)),
            None => {
                metrics.unavailable_total.inc();
                Err(Refusal::Unavailable)
            }
        };
        self.tell(answer);
    }
}

impl Order {
    /// What can't be kept is served from memory.
    fn keep(&self, encoding: Encoding, bytes: &[u8]) -> Answer {
        let (object, width) = &self.key;
        let kept = self.shared.cache.keep(object, *width, bytes, &self.making.is_forgotten);
        let file = self.note(kept).map_or_else(|| in_memory(bytes), Ok);
        let file = file.map_err(|error| Refusal::Unreadable(error.kind()))?;
        Ok(Thumbnail { encoding, file: Arc::new(file), length: bytes.len() as u64 })
    }

    fn note<T>(&self, kept: io::Result<T>) -> Option<T> {
        self.shared.count_bytes();
        let note = |error: &io::Error| {
            self.shared.metrics.unkept_total.inc();
            tracing::debug!(%error, "a thumbnail can't be kept");
        };
        kept.inspect_err(note).ok()
    }

    fn tell(self, answer: Answer) {
        let is_gone = self.making.is_forgotten.load(Ordering::SeqCst);
        let answer = if is_gone { Err(Refusal::Unreadable(io::ErrorKind::NotFound)) } else { answer };
        // Whoever asks after this answer is not to get it, but to find what was kept, or to have another try.
        self.leave();
        self.making.answer.send_replace(Some(answer));
    }

    fn leave(&self) {
        let mut makings = self.shared.makings();
        // Another one may have its place, if this one was forgotten.
        if makings.get(&self.key).is_some_and(|making| Arc::ptr_eq(making, &self.making)) {
            makings.remove(&self.key);
        }
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        self.leave();
        let is_gone = self.making.is_forgotten.load(Ordering::SeqCst);
        let none = if is_gone { Refusal::Unreadable(io::ErrorKind::NotFound) } else { Refusal::Unavailable };
        self.making.answer.send_if_modified(|answer| {
            let is_unanswered = answer.is_none();
            let _ = answer.get_or_insert(Err(none));
            is_unanswered
        });
    }
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let memory = rustix::fs::memfd_create("thumbnail", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    Ok(file)
}
