//! The life of files, from the slot to the end of their account, over each kind of backend.

use crate::bucket::{bucket, served, theirs};
use crate::check::{check, wrong};
use crate::long;
use crate::rig::{Rig, engine, owner, place, settings};
use chaski_media::objects::Objects;
use chaski_media::objects::folder::Folder;
use chaski_media::objects::s3::S3;
use chaski_media::objects::stores::{Rule, Stores};
use chaski_store::Engine;
use chaski_store::media::{Answer, Content, Edit, Name, ObjectId, Query, Reference, Source};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Where files lie besides the first folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nowhere,
    /// Another folder.
    Slow,
    /// A bucket in this process.
    Bucket,
    /// A bucket of somebody else's.
    Theirs,
}

/// The backends of a test. They outlive its service.
pub(crate) struct Backends {
    kind: Kind,
    beside: tempfile::TempDir,
    endpoint: String,
    _served: Runtime,
}

/// What an opened backend is made into.
pub(crate) type Wrap<'a> = &'a dyn Fn(Arc<dyn Objects>) -> Arc<dyn Objects>;

impl Backends {
    pub(crate) fn new(kind: Kind) -> Self {
        let (beside, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let endpoint = match kind {
            Kind::Nowhere | Kind::Slow => String::new(),
            Kind::Bucket => served(&runtime, &beside.path().join("buckets")),
            Kind::Theirs => theirs(),
        };
        Self { kind, beside, endpoint, _served: runtime }
    }

    /// The name of the place where all that is no picture lies.
    pub(crate) fn second(&self) -> &'static str {
        match self.kind {
            Kind::Nowhere => "",
            Kind::Slow => "slow",
            Kind::Bucket | Kind::Theirs => "s3_bucket",
        }
    }

    /// Opens them, with the first folder here.
    pub(crate) fn stores(&self, first: &Path, wrap: Wrap<'_>) -> Stores {
        let stores = Stores::new(wrap(Arc::new(Folder::open(first).unwrap())));
        let second: Arc<dyn Objects> = match self.kind {
            Kind::Nowhere => return stores,
            Kind::Slow => Arc::new(Folder::open(&self.beside.path().join("slow")).unwrap()),
            Kind::Bucket | Kind::Theirs => {
                let here = self.beside.path().join("here");
                Arc::new(S3::open(&here, &bucket(&self.endpoint), 1 << 30).unwrap())
            }
        };
        let types = ["video/", "text/"].map(str::to_owned).to_vec();
        stores.with(Rule { place: self.second().into(), types, from_bytes: 0 }, wrap(second))
    }

    /// The ids of all files that lie anywhere, on their way or not, in order: as the disks have them, not as the backends say. Of folders and
    /// of the bucket in this process.
    pub(crate) fn lying(&self, first: &Path) -> Vec<u128> {
        let mut found = Vec::new();
        for root in
            [first, &self.beside.path().join("slow"), &self.beside.path().join("buckets/chaski/media")]
        {
            find(root, &mut found);
        }
        // What is here of what is in the bucket is only on its way.
        let arriving = self.beside.path().join("here/arriving");
        let mut staged = Vec::new();
        find(&arriving, &mut staged);
        found.extend(staged);
        found.sort_unstable();
        found
    }
}

/// What is called as an object is.
fn find(root: &Path, found: &mut Vec<u128>) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        match entry.path().is_dir() {
            true => find(&entry.path(), found),
            false if name.len() == 32 => found.extend(u128::from_str_radix(&name, 16)),
            false => {}
        }
    }
}

fn life(kind: Kind) {
    let backends = Backends::new(kind);
    let open = |dir: &Path| backends.stores(dir, &|objects| objects);
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    let rig = Rig::with(dir, engine(), settings(), stores);
    // More than one part of a bucket's.
    let film: Vec<u8> = long().repeat(15);
    let picture = rig.stored_as(1, &long(), "image/jpeg");
    let video = rig.stored_as(2, &film, "video/mp4");
    let empty = rig.stored_as(3, b"", "text/plain");
    let all = [(&picture, &long()[..]), (&video, &film), (&empty, b"")];
    let are_whole = |rig: &Rig| {
        for (at, bytes) in all {
            let got = rig.get(at, "");
            assert!(got.status == 200 && got.body == bytes, "{at}: {}", got.head);
        }
    };
    are_whole(&rig);
    let part = rig.get(&video, "Range: bytes=5500000-5500009\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &film[5_500_000..5_500_010]));
    assert_eq!(rig.get(&video, &format!("Range: bytes={}-\r\n", film.len())).status, 416);
    let head = rig.ask(&format!("HEAD {video} HTTP/1.1\r\nHost: x\r\n\r\n"), b"");
    assert_eq!(head.header("content-length").unwrap(), film.len().to_string());
    let (again, _) = rig.slot(2, film.len(), "video/mp4", "file.bin");
    assert_eq!(rig.put(&again, &vec![9; film.len()]).status, 409, "another file");

    // Hash first, and the same in full: one object.
    let (_, slot) = rig.slot(4, film.len(), "video/mp4", "again.mp4");
    let content = Content { sha256: Sha256::digest(&film).into(), size: film.len() as u64 };
    let reference = Reference {
        name: slot.name,
        owner: slot.owner,
        content,
        object: ObjectId(0),
        place: "".into(),
        media_type: slot.media_type.clone(),
        file_name: slot.file_name.clone(),
        purpose: slot.purpose,
        created_unix_ms: rig.time().unix_ms(),
        expires_unix_ms: None,
    };
    let source = Source::Own(content);
    let edit = Edit::Refer { reference, source, registered_unix_ms: 0, quota_bytes: u64::MAX };
    assert_eq!(rig.index().edit(edit).unwrap(), Answer::Done(1));
    assert!(rig.get(&place(&slot), "").body == film);
    rig.stored_as(5, &film, "video/mp4");
    rig.until("equals are one and nothing is on its way", |rig| is_done(rig, &["", backends.second()]));
    let found = check(&rig);
    assert_eq!((wrong(&found), found.arriving), ((0, 0, 0), 0), "{:?}", found.named);
    let objects: u64 = found.places.values().map(|held| held.objects).sum();
    let there = found.places[backends.second()];
    assert_eq!((objects, there.references), (3, if kind == Kind::Nowhere { 5 } else { 4 }));

    let (dir, engine) = rig.stopped();
    let stores = open(dir.path());
    let rig = Rig::with(dir, engine, settings(), stores);
    are_whole(&rig);
    rig.engine.records().clear(&[owner()]).unwrap();
    rig.until("all have gone", |rig| is_done(rig, &["", backends.second()]));
    let found = check(&rig);
    assert_eq!((wrong(&found), found.places.len()), ((0, 0, 0), 0), "{:?}", found.named);
    assert_eq!(rig.get(&video, "").status, 404);
    assert_eq!(rig.get(&format!("/media/{}/file.bin", Name(5).to_text()), "").status, 404);
}

/// Nothing is due any more, in any of these places.
pub(crate) fn is_done(rig: &Rig, places: &[&str]) -> bool {
    places.iter().all(|place| {
        let now_unix_ms = rig.time().unix_ms();
        let due = rig
            .index()
            .ask(Query::Due { now_unix_ms, place: (*place).into(), after: None, limit: 1 })
            .unwrap();
        matches!(due, Answer::Due(due) if !due.has_new && !due.has_ended && due.doomed.is_empty())
    })
}

#[test]
fn files_live_and_go_in_one_folder() {
    life(Kind::Nowhere);
}

#[test]
fn files_live_and_go_in_two_folders() {
    life(Kind::Slow);
}

#[test]
fn files_live_and_go_in_a_bucket() {
    life(Kind::Bucket);
}

#[test]
#[ignore = "wants CHASKI_S3_ENDPOINT; tests/interop/test_bucket.py runs it over moto"]
fn files_live_and_go_in_a_bucket_of_somebody_elses() {
    life(Kind::Theirs);
}
