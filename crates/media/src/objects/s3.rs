//! A backend in a bucket that speaks S3's protocol.
//!
//! ```text
//! FOLDER/arriving/<id>    a file that is on its way: staged here, then brought to the bucket, and deleted when its row is there
//! FOLDER/parts/<id>       the name that the bucket gave to an upload in parts, as long as it may be there
//! FOLDER/cache/<name>     what somebody has asked for ([`cache`])
//! bucket: PREFIX/<xx>/<id>
//! ```
//! A file is whole and durable here before the bucket sees a byte of it, so that a client that is slow or goes away costs the bucket nothing, and a
//! part can be sent again. The staged file is what marks an arrival ([`super`]): it goes last, so that whatever a kill leaves in the bucket is
//! found by looking at one folder.
//!
//! Parts are 5 MiB, the least that S3 takes, and are in memory while they are sent: [`UPLOADS`] at a time, whatever the number of transfers.
//! Whoever finds no place in [`WAIT_TIME`] is told to come again. No thread waits for a bucket but the caretaker's.

mod cache;
mod wire;

use super::folder::Folder;
use super::{Incoming, Objects, Stored, Visit, Wait};
use cache::Cache;
pub use cache::CacheMetrics;
use chaski_store::media::{Name, ObjectId, PAGE_MAX};
use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Files that are brought to the bucket at once.
const UPLOADS: usize = 4;
/// Files that are fetched from it at once.
const DOWNLOADS: usize = 8;
/// How long one waits for a place among them.
const WAIT_TIME: Duration = Duration::from_secs(10);
/// The smallest part that S3 takes.
const PART_BYTES: usize = 5 << 20;
/// How long one request may take to be answered; the same for each piece of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// Deletions in flight.
const DELETIONS: usize = 8;

/// Where the bucket is.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `https://s3.example.org`; the bucket's name follows in the path.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// Its name.
    pub name: String,
    /// What keys begin with; empty: nothing.
    pub prefix: String,
    /// Who asks.
    pub access_key: String,
    /// And proves it.
    pub secret_key: String,
}

/// See the module.
pub struct S3 {
    of: Arc<Shared>,
}

struct Shared {
    client: AmazonS3,
    prefix: String,
    staging: Folder,
    parts: PathBuf,
    cache: Cache,
    uploads: Semaphore,
    downloads: Semaphore,
}

impl S3 {
    /// Opens one, with its folder on this machine. The bucket is not asked for anything yet.
    pub fn open(root: &Path, bucket: &Bucket, cache_bytes: u64) -> io::Result<Self> {
        let staging = Folder::open(root)?;
        let parts = root.join("parts");
        fs::create_dir_all(&parts)?;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.,
            },
            max_retries: 2,
            retry_timeout: ANSWER_TIME,
        };
        let client = AmazonS3Builder::new()
            .with_endpoint(&bucket.endpoint)
            .with_allow_http(true)
            .with_region(&bucket.region)
            .with_bucket_name(&bucket.name)
            .with_access_key_id(&bucket.access_key)
            .with_secret_access_key(&bucket.secret_key)
            .with_retry(retry)
            .with_http_connector(wire::Connector { answer_time: ANSWER_TIME })
            .build()
            .map_err(io::Error::other)?;
        let shared = Shared {
            client,
            prefix: bucket.prefix.clone(),
            staging,
            parts,
            cache: Cache::open(&root.join("cache"), cache_bytes)?,
            uploads: Semaphore::new(UPLOADS),
            downloads: Semaphore::new(DOWNLOADS),
        };
        Ok(Self { of: Arc::new(shared) })
    }

    /// What its cache counts.
    pub fn metrics(&self) -> Arc<CacheMetrics> {
        self.of.cache.metrics()
    }
}

impl Objects for S3 {
    fn begin(&self, object: ObjectId) -> io::Result<Box<dyn Incoming>> {
        self.of.staging.begin(object)
    }

    fn bring(&self, object: ObjectId) -> Wait {
        let of = self.of.clone();
        Box::pin(async move { of.bring(object).await })
    }

    fn settle(&self, object: ObjectId) -> io::Result<()> {
        self.of.forget_parts(object)?;
        self.of.staging.delete(&[object])
    }

    fn open(&self, _: ObjectId, name: Name) -> io::Result<Box<dyn Stored>> {
        self.of.cache.kept(name).map(|file| Box::new(file) as Box<dyn Stored>)
    }

    fn fetch(&self, object: ObjectId, name: Name) -> Wait {
        let of = self.of.clone();
        Box::pin(async move { of.cache.fetch(object, name, || of.get(object)).await })
    }

    fn delete(&self, objects: &[ObjectId]) -> io::Result<()> {
        Handle::current().block_on(self.of.delete(objects))?;
        self.of.cache.delete(objects);
        self.of.staging.delete(objects)
    }

    fn arrivals(&self) -> io::Result<Vec<ObjectId>> {
        self.of.staging.arrivals()
    }

    fn size(&self, object: ObjectId) -> io::Result<Option<u64>> {
        match Handle::current().block_on(self.of.client.head(&self.of.key(object))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn each(&self, first: u8, visit: &mut Visit<'_>) -> io::Result<()> {
        Handle::current().block_on(self.of.each(first, visit))
    }

    fn room_bytes(&self) -> io::Result<u64> {
        self.of.staging.room_bytes()
    }

    fn is_remote(&self) -> bool {
        true
    }
}

impl Shared {
    fn key(&self, object: ObjectId) -> Key {
        let text = format!("{:032x}", object.0);
        Key::from(format!("{}/{}/{text}", self.prefix, &text[..2]))
    }

    async fn bring(&self, object: ObjectId) -> io::Result<()> {
        let _place = place(&self.uploads).await?;
        let staged: Arc<dyn Stored> = self.staging.open(object, Name(0))?.into();
        let key = self.key(object);
        if staged.size() <= PART_BYTES as u64 {
            let bytes = part(&staged, 0).await?;
            return self.client.put(&key, bytes).await.map(drop).map_err(failed);
        }
        let upload = self.client.create_multipart(&key).await.map_err(failed)?;
        self.note_parts(object, &upload)?;
        match self.parts(&key, &upload, &staged).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // Whoever deletes the arrival tries again.
                let _ = self.client.abort_multipart(&key, &upload).await;
                Err(error)
            }
        }
    }

    async fn parts(&self, key: &Key, upload: &String, staged: &Arc<dyn Stored>) -> io::Result<()> {
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < staged.size() {
            let bytes = part(staged, at).await?;
            at += bytes.content_length() as u64;
            let sent = self.client.put_part(key, upload, parts.len(), bytes).await;
            parts.push(sent.map_err(failed)?);
        }
        self.client.complete_multipart(key, upload, parts).await.map(drop).map_err(failed)
    }

    fn noted(&self, object: ObjectId) -> PathBuf {
        self.parts.join(format!("{:032x}", object.0))
    }

    /// Durable before the first part: a kill may not leave parts that nobody can name.
    fn note_parts(&self, object: ObjectId, upload: &str) -> io::Result<()> {
        let mut file = fs::File::create(self.noted(object))?;
        file.write_all(upload.as_bytes())?;
        file.sync_all()?;
        fs::File::open(&self.parts)?.sync_all()
    }

    fn forget_parts(&self, object: ObjectId) -> io::Result<()> {
        match fs::remove_file(self.noted(object)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn get(&self, object: ObjectId) -> io::Result<cache::Pieces<'_>> {
        let place = place(&self.downloads).await?;
        let got = self.client.get(&self.key(object)).await.map_err(failed)?;
        let pieces = got.into_stream().map(|piece| piece.map_err(failed));
        Ok(cache::Pieces { _place: place, pieces: pieces.boxed(), within: ANSWER_TIME })
    }

    async fn delete(&self, objects: &[ObjectId]) -> io::Result<()> {
        let delete = |object: ObjectId| async move {
            let key = self.key(object);
            if let Ok(upload) = fs::read_to_string(self.noted(object)) {
                gone(self.client.abort_multipart(&key, &upload).await)?;
                self.forget_parts(object)?;
            }
            gone(self.client.delete(&key).await)
        };
        let mut deletions =
            futures_util::stream::iter(objects.iter().copied().map(delete)).buffer_unordered(DELETIONS);
        while let Some(done) = deletions.next().await {
            done?;
        }
        Ok(())
    }

    async fn each(&self, first: u8, visit: &mut Visit<'_>) -> io::Result<()> {
        let prefix = Key::from(format!("{}/{first:02x}", self.prefix));
        let mut listed = self.client.list(Some(&prefix)).ready_chunks(PAGE_MAX);
        while let Some(page) = timeout(ANSWER_TIME * 2, listed.next()).await? {
            let mut objects = Vec::with_capacity(page.len());
            for meta in page {
                let meta = meta.map_err(failed)?;
                let id = meta.location.filename().and_then(|name| u128::from_str_radix(name, 16).ok());
                objects.extend(id.map(|id| (ObjectId(id), meta.size)));
            }
            visit(&objects)?;
        }
        Ok(())
    }
}

async fn place(places: &Semaphore) -> io::Result<SemaphorePermit<'_>> {
    timeout(WAIT_TIME, places.acquire()).await?.map_err(io::Error::other)
}

/// One part of a staged file.
async fn part(staged: &Arc<dyn Stored>, at: u64) -> io::Result<PutPayload> {
    let staged = staged.clone();
    let read = move || {
        let mut bytes = vec![0; (staged.size() - at).min(PART_BYTES as u64) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match staged.read_at(at + filled as u64, &mut bytes[filled..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(PutPayload::from(bytes))
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Not there is as good as deleted.
fn gone(done: object_store::Result<()>) -> io::Result<()> {
    match done {
        Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound.into(),
        error => io::Error::other(error),
    }
}
