//! Files of a bucket that somebody has asked for, on this machine's disk: read from the bucket once, whoever asks meanwhile, and
//! for parts too.
//!
//! Bounded in bytes; what was asked for longest ago goes first, and whoever reads it reads it to its end. Empty after a start. It is a reference's
//! and not an object's, as thumbnails are: equal contents are one object, and how soon a file comes would show that somebody else has asked for it.

use super::super::Stored;
use super::super::folder::OpenFile;
use axum::body::Bytes;
use chaski_store::media::{Name, ObjectId};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, SemaphorePermit};
use tokio::time::timeout;

chaski_telemetry::metrics! {
    /// What is fetched from a bucket.
    pub struct CacheMetrics("chaski_media_bucket") {
        /// Files fetched from the bucket.
        fetched_total: Counter,
        /// Bytes of them.
        fetched_bytes_total: Counter,
        /// Requests that found what they wanted on this machine's disk.
        cache_hits_total: Counter,
        /// Requests that waited for what another was fetching already.
        shared_total: Counter,
        /// Fetches that failed.
        failed_total: Counter,
        /// Bytes of the cache.
        cache_bytes: Gauge,
        /// Files that made room for others.
        evicted_total: Counter,
    }
}

/// A file on its way from the bucket.
pub(super) struct Pieces<'a> {
    pub(super) _place: SemaphorePermit<'a>,
    pub(super) pieces: BoxStream<'static, io::Result<Bytes>>,
    /// How long each may take.
    pub(super) within: Duration,
}

/// See the module.
pub(super) struct Cache {
    root: PathBuf,
    most_bytes: u64,
    state: Mutex<State>,
    metrics: Arc<CacheMetrics>,
}

#[derive(Default)]
struct State {
    files: HashMap<Name, Kept>,
    bytes: u64,
    /// Counts what was asked for.
    asked: u64,
    /// The files in the order in which they were last asked for, and by their objects: nobody walks through all of them for one.
    by_age: BTreeMap<u64, Name>,
    by_object: BTreeSet<(ObjectId, Name)>,
    fetching: HashMap<Name, Arc<OnceCell<()>>>,
    /// What is being read from the bucket, and whether it has ended since.
    reading: HashMap<(Name, ObjectId), bool>,
}

struct Kept {
    object: ObjectId,
    bytes: u64,
    asked: u64,
}

impl State {
    /// It is the newest from here on. Whether it is there.
    fn ask(&mut self, name: Name) -> bool {
        let Some(kept) = self.files.get_mut(&name) else { return false };
        self.by_age.remove(&kept.asked);
        self.asked += 1;
        kept.asked = self.asked;
        self.by_age.insert(kept.asked, name);
        true
    }

    fn insert(&mut self, name: Name, object: ObjectId, bytes: u64) {
        self.remove(name);
        self.bytes += bytes;
        self.by_object.insert((object, name));
        self.files.insert(name, Kept { object, bytes, asked: 0 });
        self.ask(name);
    }

    fn remove(&mut self, name: Name) -> bool {
        let Some(kept) = self.files.remove(&name) else { return false };
        self.bytes -= kept.bytes;
        self.by_age.remove(&kept.asked);
        self.by_object.remove(&(kept.object, name))
    }

    /// What was asked for longest ago, if that is not the newest.
    fn oldest(&self) -> Option<Name> {
        self.by_age.values().next().copied().filter(|_| self.by_age.len() > 1)
    }

    fn of(&self, object: ObjectId) -> Vec<Name> {
        let all = (object, Name(0))..=(object, Name(u128::MAX));
        self.by_object.range(all).map(|(_, name)| *name).collect()
    }
}

impl Cache {
    /// Opens it and empties it.
    pub(super) fn open(root: &Path, most_bytes: u64) -> io::Result<Self> {
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => DirBuilder::new().recursive(true).mode(0o700).create(root)?,
        }
        Ok(Self { root: root.to_owned(), most_bytes, state: Mutex::default(), metrics: Arc::default() })
    }

    pub(super) fn metrics(&self) -> Arc<CacheMetrics> {
        self.metrics.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: Name) -> PathBuf {
        self.root.join(name.to_text())
    }

    /// What is there; [`ErrorKind::WouldBlock`] if it must be fetched.
    pub(super) fn kept(&self, name: Name) -> io::Result<impl Stored + use<>> {
        let mut state = self.state();
        if !state.ask(name) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let file = File::open(self.path(name))?;
        drop(state);
        self.metrics.cache_hits_total.inc();
        OpenFile::new(file)
    }

    /// Fetches it, or waits until another has.
    pub(super) async fn fetch<'a, F>(
        &self,
        object: ObjectId,
        name: Name,
        get: impl FnOnce() -> F,
    ) -> io::Result<()>
    where
        F: Future<Output = io::Result<Pieces<'a>>>,
    {
        let (cell, is_first) = {
            let mut state = self.state();
            if state.files.contains_key(&name) {
                return Ok(());
            }
            let is_first = !state.fetching.contains_key(&name);
            (state.fetching.entry(name).or_default().clone(), is_first)
        };
        if !is_first {
            self.metrics.shared_total.inc();
        }
        // If the first one's fails or is dropped, the next of those who wait tries.
        let read = || async {
            let _reading = self.begin(name, object);
            self.read(object, name, get().await?).await
        };
        let done = cell.get_or_try_init(read).await;
        let mut state = self.state();
        // Nobody else's: of two who fetch the same, one would write what the other writes.
        let is_ours = state.fetching.get(&name).is_some_and(|of| Arc::ptr_eq(of, &cell));
        if is_ours && (done.is_ok() || Arc::strong_count(&cell) == 2) {
            state.fetching.remove(&name);
        }
        if done.is_err() {
            self.metrics.failed_total.inc();
        }
        done.map(drop)
    }

    async fn read(&self, object: ObjectId, name: Name, mut from: Pieces<'_>) -> io::Result<()> {
        let half = Half { path: self.root.join(format!("{}.half", name.to_text())) };
        let mut file = File::create(&half.path)?;
        let mut bytes = 0;
        while let Some(piece) = timeout(from.within, from.pieces.next()).await? {
            let piece = piece?;
            bytes += piece.len() as u64;
            let write = move || file.write_all(&piece).map(|()| file);
            file = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
        }
        fs::rename(&half.path, self.path(name))?;
        self.metrics.fetched_total.inc();
        self.metrics.fetched_bytes_total.add(bytes);
        self.keep(name, object, bytes)
    }

    /// Before the bucket is asked: what it gives then may end before it is here.
    fn begin(&self, name: Name, object: ObjectId) -> Reading<'_> {
        self.state().reading.insert((name, object), false);
        Reading { cache: self, of: (name, object) }
    }

    /// Unless it has ended meanwhile: nobody would delete it any more.
    fn keep(&self, name: Name, object: ObjectId, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.reading.get(&(name, object)).is_some_and(|has_ended| *has_ended) {
            fs::remove_file(self.path(name))?;
            return Err(ErrorKind::NotFound.into());
        }
        state.insert(name, object, bytes);
        while state.bytes > self.most_bytes {
            let Some(oldest) = state.oldest() else { break };
            self.drop_file(&mut state, oldest);
            self.metrics.evicted_total.inc();
        }
        self.metrics.cache_bytes.set(state.bytes as i64);
        Ok(())
    }

    fn drop_file(&self, state: &mut State, name: Name) {
        if !state.remove(name) {
            return;
        }
        if let Err(error) = fs::remove_file(self.path(name)) {
            tracing::warn!(%error, "a file of the cache stays until the next start");
        }
    }

    /// These have ended.
    pub(super) fn delete(&self, objects: &[ObjectId]) {
        let mut state = self.state();
        let reading = state.reading.iter_mut().filter(|((_, object), _)| objects.contains(object));
        reading.for_each(|(_, has_ended)| *has_ended = true);
        let ended: Vec<Name> = objects.iter().flat_map(|object| state.of(*object)).collect();
        ended.into_iter().for_each(|name| self.drop_file(&mut state, name));
        self.metrics.cache_bytes.set(state.bytes as i64);
    }
}

/// What is being read, until this is dropped.
struct Reading<'a> {
    cache: &'a Cache,
    of: (Name, ObjectId),
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.cache.state().reading.remove(&self.of);
    }
}

/// A file that is not whole. Deleted when it is dropped, unless it has got its name.
struct Half {
    path: PathBuf,
}

impl Drop for Half {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn what_was_asked_for_longest_ago_makes_room_and_what_ends_goes_by_its_object() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache"), 30).unwrap();
        let keep = |name: u128, object: u128| {
            fs::write(cache.path(Name(name)), b"1234567890").unwrap();
            cache.keep(Name(name), ObjectId(object), 10).unwrap();
        };
        let there = || (1..=9).filter(|name| cache.path(Name(*name)).exists()).collect::<Vec<u128>>();
        (1..=3).for_each(|name| keep(name, name % 2));
        assert!(cache.kept(Name(1)).is_ok());
        keep(4, 7);
        assert_eq!(there(), [1, 3, 4]);
        keep(5, 7);
        assert_eq!(there(), [1, 4, 5]);
        keep(5, 8);
        assert_eq!(there(), [1, 4, 5], "again, and counted once");
        cache.delete(&[ObjectId(7), ObjectId(0)]);
        assert_eq!(there(), [1, 5]);
        let state = cache.state();
        assert_eq!(
            (state.bytes, state.by_age.len(), state.by_object.len(), state.files.len()),
            (20, 2, 2, 2)
        );
    }

    #[tokio::test]
    async fn what_ends_while_it_is_fetched_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, places) = (Cache::open(&dir.path().join("cache"), 100).unwrap(), Semaphore::new(2));
        let (name, ends, other) = (Name(1), ObjectId(1), ObjectId(2));
        for object in [ends, other] {
            let get = || async {
                cache.delete(&[ends]);
                let pieces = futures_util::stream::iter([Ok(Bytes::from_static(b"picture"))]).boxed();
                let place = places.acquire().await.unwrap();
                Ok(Pieces { _place: place, pieces, within: Duration::from_secs(60) })
            };
            let fetched = cache.fetch(object, name, get).await;
            assert_eq!(fetched.is_ok(), object == other);
            assert_eq!(cache.kept(name).is_ok(), object == other);
            assert_eq!(fs::read_dir(&cache.root).unwrap().count(), usize::from(object == other));
        }
        assert!(cache.state().reading.is_empty() && cache.state().fetching.is_empty());
    }
}
