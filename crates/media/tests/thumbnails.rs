//! Thumbnails as their caller has them, with worker processes that work and such that misbehave.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use chaski_media::thumbnail::{
    Object, Program, Refusal, Settings, Thumbnail, ThumbnailMetrics, Thumbnails, Unfit, Width,
};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Long enough for a small picture on any machine, also on one that stands still for minutes.
const PLENTY: Duration = Duration::from_secs(3600);
/// For pictures that take all the time there is.
const SHORT: Duration = Duration::from_secs(2);

/// Thumbnails, and objects to make them of.
struct Place {
    folder: TempDir,
    thumbnails: Arc<Thumbnails>,
    metrics: Arc<ThumbnailMetrics>,
    opened: Arc<AtomicUsize>,
}

impl Place {
    /// With a worker that misbehaves when a picture begins with `!`.
    fn with(how: Option<&str>, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { workers: 1, picture_time: PLENTY, ..Settings::default() };
        change(&mut settings);
        let path = env!("CARGO_BIN_EXE_thumbnail-test-worker").into();
        // By the folder it can be told from the workers of other tests, which may run in the same process.
        let whose = folder.path().display().to_string();
        let program = Program { path, arguments: vec![how.unwrap_or("well").to_owned(), whose] };
        let thumbnails = Thumbnails::start(&folder.path().join("thumbnails"), program, settings).unwrap();
        let metrics = thumbnails.metrics();
        Self { folder, thumbnails: Arc::new(thumbnails), metrics, opened: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    async fn get(&self, name: &str, width: u32) -> Result<Thumbnail, Refusal> {
        let (path, opened) = (self.path(name), self.opened.clone());
        let open = async move {
            opened.fetch_add(1, Ordering::SeqCst);
            File::open(path)
        };
        self.thumbnails.get(&Object::named(name).unwrap(), Width::at_least(width), open).await
    }

    /// A request that somebody else makes.
    fn ask(self: &Arc<Self>, name: &'static str) -> tokio::task::JoinHandle<Result<Thumbnail, Refusal>> {
        let place = self.clone();
        tokio::spawn(async move { place.get(name, 64).await })
    }

    /// The worker's process, once it works on the object that was opened last.
    async fn worker(&self) -> Pid {
        until(|| self.metrics.workers_started_total.get() > 0 && self.metrics.waiting.get() == 0).await;
        let workers = workers_of(self.folder.path());
        assert_eq!(workers.len(), 1, "{workers:?}");
        workers[0]
    }

    fn kept(&self) -> Vec<String> {
        let mut names = Vec::new();
        for part in ["young", "old"] {
            let entries = std::fs::read_dir(self.path("thumbnails").join(part)).unwrap();
            names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        }
        names.sort();
        names
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Worker processes of the test with this folder.
fn workers_of(folder: &Path) -> Vec<Pid> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(2) == Some(folder)
    })
    .filter_map(Pid::from_raw)
    .collect()
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(300, 200, |x, y| Rgb([x as u8, y as u8, 0]));
    DynamicImage::from(picture).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

fn bytes_of(thumbnail: &Thumbnail) -> Vec<u8> {
    let mut bytes = vec![0; thumbnail.length as usize];
    thumbnail.file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

const NOT_A_PICTURE: Refusal = Refusal::Unfit(Unfit::NotAPicture);

#[tokio::test]
async fn a_thumbnail_is_made_once() {
    let place = Place::with(None, |_| {});
    place.put("photo", &jpeg());
    let made = place.get("photo", 100).await.unwrap();
    let small = image::load_from_memory(&bytes_of(&made)).unwrap();
    assert_eq!((small.width(), small.height(), made.encoding.media_type()), (128, 85, "image/jpeg"));
    let found = place.get("photo", 128).await.unwrap();
    assert_eq!(bytes_of(&found), bytes_of(&made));
    let wider = place.get("photo", 1000).await.unwrap();
    assert_eq!(image::load_from_memory(&bytes_of(&wider)).unwrap().width(), 300);
    assert_eq!(place.opened.load(Ordering::SeqCst), 2);
    assert_eq!((place.metrics.made_total.get(), place.metrics.found_total.get()), (2, 1));
    assert_eq!(place.kept(), ["photo.w1024", "photo.w128"]);
    assert!(place.metrics.kept_bytes.get() >= 8192);
}

#[tokio::test]
async fn many_at_once_share_one_making() {
    let place = Arc::new(Place::with(None, |settings| settings.waiting_max = 1));
    place.put("photo", &jpeg());
    let asked: Vec<_> = (0..100).map(|_| place.ask("photo")).collect();
    for answer in asked {
        assert!(answer.await.unwrap().is_ok());
    }
    assert_eq!((place.opened.load(Ordering::SeqCst), place.metrics.made_total.get()), (1, 1));
}

#[tokio::test]
async fn what_is_no_picture_is_remembered() {
    let place = Place::with(None, |settings| settings.limits.pixels = 60_000);
    place.put("page", b"<!doctype html><script>alert(1)</script>");
    place.put("photo", &jpeg());
    place.put("large", &jpeg()[..]);
    let large = RgbImage::new(300, 201);
    DynamicImage::from(large).save_with_format(place.path("large"), ImageFormat::Png).unwrap();
    for (name, width) in [("page", 64), ("page", 64), ("page", 512)] {
        assert_eq!(place.get(name, width).await.unwrap_err(), NOT_A_PICTURE);
    }
    for _ in 0..2 {
        assert_eq!(place.get("large", 64).await.unwrap_err(), Refusal::Unfit(Unfit::TooLarge));
    }
    assert!(place.get("photo", 64).await.is_ok());
    assert_eq!(place.opened.load(Ordering::SeqCst), 3);
    assert_eq!((place.metrics.not_pictures_total.get(), place.metrics.too_large_total.get()), (1, 1));
    assert_eq!(place.metrics.workers_lost_total.get(), 0);
}

/// A picture that does `how` to its worker is no picture, and the next one is made as if nothing had been.
async fn is_survived(how: &str, picture_time: Duration, lost: u64) {
    let place = Place::with(Some(how), |settings| settings.picture_time = picture_time);
    place.put("bad", b"!");
    let mut tries = 0;
    // A machine that has no time for the worker is not held against the picture: then it is tried again.
    while place.get("bad", 64).await.unwrap_err() != NOT_A_PICTURE {
        tries += 1;
        assert!(tries < 20 && how == "compute", "{how}: {tries}");
    }
    assert_eq!(place.get("bad", 64).await.unwrap_err(), NOT_A_PICTURE);
    assert_eq!(place.opened.load(Ordering::SeqCst), tries + 1, "{how}: remembered");
    assert_eq!(place.metrics.workers_lost_total.get(), lost + tries as u64, "{how}");
    place.put("photo", &jpeg());
    assert!(place.get("photo", 64).await.is_ok(), "{how}");
    assert_eq!(workers_of(place.folder.path()).len(), 1, "{how}");
}

#[tokio::test]
async fn a_picture_that_ends_its_worker_is_none() {
    is_survived("die", PLENTY, 1).await;
}

#[tokio::test]
async fn a_picture_that_makes_its_worker_leave_is_none() {
    is_survived("leave", PLENTY, 1).await;
}

#[tokio::test]
async fn a_picture_that_makes_a_decoder_panic_is_none() {
    is_survived("panic", PLENTY, 0).await;
}

#[tokio::test]
async fn a_picture_that_takes_too_long_is_none() {
    is_survived("compute", SHORT, 1).await;
}

#[tokio::test]
async fn a_worker_that_says_nonsense_is_replaced() {
    is_survived("nonsense", PLENTY, 1).await;
}

#[tokio::test]
async fn memory_has_a_limit() {
    is_survived("greedy", PLENTY, 1).await;
}

#[tokio::test]
async fn a_worker_gets_nowhere() {
    let place = Place::with(Some("escape"), |_| {});
    place.put("bad", b"!");
    let said = bytes_of(&place.get("bad", 64).await.unwrap());
    let open = String::from_utf8_lossy(&said[3..]).into_owned();
    // Where the system filters no calls, only the limits hold, and root is above some of them.
    if place.metrics.workers_unfiltered_total.get() == 0 {
        assert_eq!(open, "");
    }
}

#[tokio::test]
async fn a_worker_that_stands_still_is_not_held_against_the_picture() {
    let place = Place::with(Some("wait"), |settings| settings.picture_time = SHORT);
    place.put("bad", b"!");
    for tries in 1..=2 {
        assert_eq!(place.get("bad", 64).await.unwrap_err(), Refusal::Unavailable);
        assert_eq!(place.metrics.workers_lost_total.get(), tries, "not remembered");
    }
    assert_eq!((place.metrics.unavailable_total.get(), place.kept().len()), (2, 0));
}

#[tokio::test]
async fn a_worker_that_is_killed_is_not_held_against_the_picture() {
    let place = Arc::new(Place::with(Some("wait"), |_| {}));
    place.put("bad", b"!");
    let asked = place.ask("bad");
    kill_process(place.worker().await, Signal::KILL).unwrap();
    assert_eq!(asked.await.unwrap().unwrap_err(), Refusal::Unavailable);
    place.put("photo", &jpeg());
    assert!(place.get("photo", 64).await.is_ok());
    assert_eq!((place.metrics.workers_started_total.get(), place.kept().len()), (2, 1));
}

#[tokio::test]
async fn a_worker_that_is_stopped_is_replaced() {
    let place = Arc::new(Place::with(Some("wait"), |settings| settings.picture_time = SHORT));
    place.put("bad", b"!");
    let asked = place.ask("bad");
    let worker = place.worker().await;
    kill_process(worker, Signal::STOP).unwrap();
    assert_eq!(asked.await.unwrap().unwrap_err(), Refusal::Unavailable);
    until(|| !workers_of(place.folder.path()).contains(&worker)).await;
}

#[tokio::test]
async fn too_many_are_told_to_come_back() {
    let place = Arc::new(Place::with(Some("wait"), |settings| settings.waiting_max = 1));
    place.put("bad", b"!");
    place.put("second", &jpeg());
    let first = place.ask("bad");
    let worker = place.worker().await;
    let second = place.ask("second");
    until(|| place.metrics.waiting.get() == 1).await;
    assert_eq!(place.get("third", 64).await.unwrap_err(), Refusal::Busy);
    assert_eq!(place.metrics.refused_busy_total.get(), 1);
    kill_process(worker, Signal::KILL).unwrap();
    assert_eq!(first.await.unwrap().unwrap_err(), Refusal::Unavailable);
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test]
async fn whoever_asks_and_hangs_up_costs_nothing() {
    let place = Arc::new(Place::with(Some("wait"), |_| {}));
    place.put("bad", b"!");
    place.put("photo", &jpeg());
    place.put("other", &jpeg());
    let first = place.ask("bad");
    let worker = place.worker().await;
    let second = place.ask("photo");
    until(|| place.metrics.waiting.get() == 1).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    kill_process(worker, Signal::KILL).unwrap();
    assert_eq!(first.await.unwrap().unwrap_err(), Refusal::Unavailable);
    assert!(place.get("other", 64).await.is_ok());
    assert_eq!(place.kept(), ["other.w64"]);
}

#[tokio::test]
async fn what_is_forgotten_while_it_waits_leaves_nothing() {
    let place = Arc::new(Place::with(Some("wait"), |_| {}));
    place.put("bad", b"!");
    place.put("photo", &jpeg());
    let first = place.ask("bad");
    let worker = place.worker().await;
    let second = place.ask("photo");
    until(|| place.metrics.waiting.get() == 1).await;
    std::fs::remove_file(place.path("photo")).unwrap();
    place.thumbnails.forget(&Object::named("photo").unwrap()).await.unwrap();
    let third = place.get("photo", 64).await.unwrap_err();
    assert_eq!(third, Refusal::Unreadable(io::ErrorKind::NotFound));
    kill_process(worker, Signal::KILL).unwrap();
    assert_eq!(second.await.unwrap().unwrap_err(), Refusal::Unreadable(io::ErrorKind::NotFound));
    drop(first);
    assert!(place.kept().is_empty());
}

#[tokio::test]
async fn what_is_forgotten_is_deleted() {
    let place = Place::with(None, |_| {});
    place.put("photo", &jpeg());
    place.put("page", b"<html>");
    for width in [64, 256] {
        assert!(place.get("photo", width).await.is_ok());
    }
    assert!(place.get("page", 64).await.is_err());
    for name in ["photo", "page"] {
        std::fs::remove_file(place.path(name)).unwrap();
        place.thumbnails.forget(&Object::named(name).unwrap()).await.unwrap();
        let gone = place.get(name, 64).await.unwrap_err();
        assert_eq!(gone, Refusal::Unreadable(io::ErrorKind::NotFound));
    }
    assert!(place.kept().is_empty());
    assert_eq!(place.metrics.kept_bytes.get(), 0);
}

#[tokio::test]
async fn what_cannot_be_kept_is_served_all_the_same() {
    let place = Place::with(None, |_| {});
    place.put("photo", &jpeg());
    std::fs::remove_dir_all(place.path("thumbnails")).unwrap();
    let made = place.get("photo", 64).await.unwrap();
    assert_eq!(image::load_from_memory(&bytes_of(&made)).unwrap().width(), 64);
    assert_eq!(place.metrics.unkept_total.get(), 1);
}

#[tokio::test]
async fn without_workers_nothing_is_remembered_and_nobody_waits() {
    let place = Place::with(Some("broken"), |_| {});
    place.put("photo", &jpeg());
    for _ in 0..10 {
        assert_eq!(place.get("photo", 64).await.unwrap_err(), Refusal::Unavailable);
    }
    assert!(place.metrics.workers_failed_total.get() < 10, "not tried each time");
    assert!(place.kept().is_empty());
}

#[tokio::test]
async fn workers_are_replaced_and_end() {
    let place = Place::with(None, |settings| {
        settings.pictures_per_worker = 2;
        settings.idle_time = Duration::from_millis(100);
    });
    for name in ["a", "b", "c", "d", "e"] {
        place.put(name, &jpeg());
        assert!(place.get(name, 64).await.is_ok());
    }
    assert!(place.metrics.workers_started_total.get() >= 3);
    let folder = place.folder.path().to_owned();
    until(|| place.metrics.workers.get() == 0 && workers_of(&folder).is_empty()).await;
    assert!(place.get("a", 128).await.is_ok());
    drop(place);
    until(|| workers_of(&folder).is_empty()).await;
}
