//! One suite of what a backend promises, over the local folder, a bucket (s3s-fs, in this process), and one of somebody else's, which
//! `tests/interop/test_bucket.py` starts (moto).

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

#[path = "bucket/served.rs"]
mod bucket;

use bucket::{bucket, served};
use chaski_media::objects::folder::Folder;
use chaski_media::objects::s3::S3;
use chaski_media::objects::{Objects, Stored};
use chaski_store::media::{Name, ObjectId};
use chaski_telemetry::Registry;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Longer than two parts.
const LONG: usize = (10 << 20) + 7;
const SMALL: ObjectId = ObjectId(0xab << 120 | 1);
const LARGE: ObjectId = ObjectId(2);
const EMPTY: ObjectId = ObjectId(0xff << 120);
const NAME: Name = Name(9);

fn content(object: ObjectId) -> Vec<u8> {
    match object {
        SMALL => b"a small one".to_vec(),
        LARGE => (0..LONG as u32).map(|n| (n % 251) as u8).collect(),
        _ => Vec::new(),
    }
}

struct Bench {
    runtime: Runtime,
    open: Box<dyn Fn() -> Arc<dyn Objects>>,
}

impl Bench {
    fn write(&self, objects: &dyn Objects, object: ObjectId) {
        let mut incoming = objects.begin(object).unwrap();
        for piece in content(object).chunks(50_000) {
            incoming.write(piece).unwrap();
        }
        incoming.finish().unwrap();
        self.runtime.block_on(objects.bring(object)).unwrap();
    }

    fn open(
        &self,
        objects: &dyn Objects,
        object: ObjectId,
        name: Name,
    ) -> Result<Box<dyn Stored>, ErrorKind> {
        match objects.open(object, name) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.runtime.block_on(objects.fetch(object, name)).map_err(|error| error.kind())?;
                objects.open(object, name).map_err(|error| error.kind())
            }
            opened => opened.map_err(|error| error.kind()),
        }
    }

    fn is_whole(&self, objects: &dyn Objects, object: ObjectId, name: Name) -> bool {
        let stored = self.open(objects, object, name).unwrap();
        let mut bytes = vec![0; stored.size() as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += stored.read_at(filled as u64, &mut bytes[filled..]).unwrap();
        }
        bytes == content(object)
    }

    /// On a thread that may wait, where deletions are.
    fn delete(&self, objects: &Arc<dyn Objects>, which: &[ObjectId]) {
        let (objects, which) = (objects.clone(), which.to_vec());
        self.runtime.block_on(self.runtime.spawn_blocking(move || objects.delete(&which))).unwrap().unwrap();
    }

    fn settled(&self, objects: &Arc<dyn Objects>) -> BTreeMap<u128, u64> {
        let objects = objects.clone();
        let look = move || {
            let mut found = BTreeMap::new();
            for first in 0..=u8::MAX {
                objects
                    .each(first, &mut |page| {
                        assert!(page.iter().all(|(object, _)| (object.0 >> 120) as u8 == first));
                        found.extend(page.iter().map(|(object, size)| (object.0, *size)));
                        Ok(())
                    })
                    .unwrap();
            }
            found
        };
        self.runtime.block_on(self.runtime.spawn_blocking(look)).unwrap()
    }
}

fn suite(bench: &Bench) {
    let objects = (bench.open)();
    // What does not come whole leaves nothing.
    let mut half = objects.begin(SMALL).unwrap();
    half.write(b"ha").unwrap();
    drop(half);
    assert_eq!(objects.arrivals().unwrap(), []);
    for object in [SMALL, LARGE, EMPTY] {
        bench.write(&*objects, object);
    }
    assert!(objects.begin(LARGE).is_err(), "an id is used once");
    assert!(bench.is_whole(&*objects, SMALL, NAME), "it is served where it lies");

    // Killed before it is settled: the arrivals are those that were on their way.
    drop(objects);
    let objects = (bench.open)();
    let mut arrivals = objects.arrivals().unwrap();
    arrivals.sort();
    assert_eq!(arrivals, [LARGE, SMALL, EMPTY]);
    for _ in 0..2 {
        objects.settle(SMALL).unwrap();
        objects.settle(LARGE).unwrap();
    }
    assert_eq!(objects.arrivals().unwrap(), [EMPTY]);
    bench.delete(&objects, &[EMPTY]);
    assert_eq!(objects.arrivals().unwrap(), []);
    assert_eq!(bench.settled(&objects), BTreeMap::from([(SMALL.0, 11), (LARGE.0, LONG as u64)]));
    assert!(bench.is_whole(&*objects, SMALL, NAME) && bench.is_whole(&*objects, LARGE, Name(3)));
    let part = bench.open(&*objects, LARGE, Name(3)).unwrap();
    let mut middle = [0; 4];
    part.read_at(6 << 20, &mut middle).unwrap();
    assert_eq!(middle, content(LARGE)[6 << 20..][..4]);

    // What is over is gone, also from what is kept of it here, and whoever reads it reads it to its end.
    bench.delete(&objects, &[SMALL, LARGE, ObjectId(77)]);
    bench.delete(&objects, &[SMALL]);
    assert_eq!(part.read_at(0, &mut middle).unwrap(), 4);
    for (object, name) in [(SMALL, NAME), (LARGE, Name(3)), (EMPTY, Name(4))] {
        assert_eq!(bench.open(&*objects, object, name).err(), Some(ErrorKind::NotFound), "{object:?}");
    }
    objects.settle(LARGE).unwrap();
    assert_eq!(bench.settled(&objects), BTreeMap::new());
    assert!(objects.room_bytes().unwrap() > 0);
}

#[test]
fn a_folder_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    let open = move || Arc::new(Folder::open(dir.path()).unwrap()) as Arc<dyn Objects>;
    suite(&Bench { runtime: Runtime::new().unwrap(), open: Box::new(open) });
}

#[test]
fn a_bucket_keeps_the_promises() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let bucket = bucket(&served(&runtime, &dir.path().join("buckets")));
    let open =
        move || Arc::new(S3::open(&dir.path().join("here"), &bucket, 1 << 30).unwrap()) as Arc<dyn Objects>;
    suite(&Bench { runtime, open: Box::new(open) });
}

#[test]
#[ignore = "wants CHASKI_S3_ENDPOINT; tests/interop/test_bucket.py runs it over moto"]
fn a_bucket_of_somebody_elses_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket(&bucket::theirs());
    let open = move || Arc::new(S3::open(dir.path(), &bucket, 1 << 30).unwrap()) as Arc<dyn Objects>;
    suite(&Bench { runtime: Runtime::new().unwrap(), open: Box::new(open) });
}

#[test]
fn whoever_asks_for_a_cold_file_waits_for_one_fetch() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let bucket = bucket(&served(&runtime, &dir.path().join("buckets")));
    let s3 = Arc::new(S3::open(&dir.path().join("here"), &bucket, LONG as u64 + 20).unwrap());
    let metrics = s3.metrics();
    let of = s3.clone();
    let bench = Bench { runtime, open: Box::new(move || of.clone()) };
    bench.write(&*s3, LARGE);
    bench.write(&*s3, SMALL);
    let all: Vec<_> = (0..50).map(|_| bench.runtime.spawn(s3.fetch(LARGE, NAME))).collect();
    all.into_iter().for_each(|one| bench.runtime.block_on(one).unwrap().unwrap());
    assert_eq!(count(&metrics, "fetched_total"), 1);
    assert_eq!(count(&metrics, "fetched_bytes_total"), LONG as i64);
    assert!(bench.is_whole(&*s3, LARGE, NAME));
    // It is bounded: the oldest makes room, and is fetched again when somebody asks.
    for name in 20..23 {
        assert!(bench.is_whole(&*s3, SMALL, Name(name)));
    }
    assert_eq!((count(&metrics, "fetched_total"), count(&metrics, "evicted_total")), (4, 1));
    assert!(count(&metrics, "cache_bytes") <= LONG as i64 + 20);
    assert!(bench.is_whole(&*s3, LARGE, NAME));
    assert_eq!(count(&metrics, "fetched_total"), 5);
}

fn count(metrics: &Arc<chaski_media::objects::s3::CacheMetrics>, what: &str) -> i64 {
    let mut registry = Registry::default();
    registry.register(metrics.clone());
    let (text, name) = (registry.render(), format!("chaski_media_bucket_{what} "));
    text.lines()
        .find_map(|line| line.strip_prefix(&*name))
        .unwrap_or_else(|| panic!("{text}"))
        .parse()
        .unwrap()
}

#[test]
fn a_bucket_that_is_away_is_an_error_soon_and_leaves_a_mark_of_what_was_on_its_way() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    // A port that nobody listens on.
    let at = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap().local_addr().unwrap();
    let s3 = S3::open(dir.path(), &bucket(&format!("http://{at}")), 1 << 30).unwrap();
    let mut incoming = s3.begin(SMALL).unwrap();
    incoming.write(&content(SMALL)).unwrap();
    incoming.finish().unwrap();
    let within = Duration::from_secs(60);
    let brought = runtime.block_on(async { tokio::time::timeout(within, s3.bring(SMALL)).await.unwrap() });
    assert!(brought.is_err());
    assert_eq!(s3.arrivals().unwrap(), [SMALL]);
    let fetched =
        runtime.block_on(async { tokio::time::timeout(within, s3.fetch(LARGE, NAME)).await.unwrap() });
    assert!(fetched.is_err_and(|error| error.kind() != ErrorKind::NotFound), "away is not gone");
}
