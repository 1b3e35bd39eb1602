//! Two folders, and what goes where.

use crate::bucket::bucket;
use crate::long;
use crate::rig::{Rig, engine, files, owner, place, settings, thumbnails, unfinished};
use chaski_media::Media;
use chaski_media::objects::folder::Folder;
use chaski_media::objects::s3::S3;
use chaski_media::objects::stores::{Rule, Stores};
use chaski_media::staging::Staging;
use chaski_store::Engine;
use chaski_store::media::{Answer, Content, Edit, ObjectId, PAGE_MAX, Query, Reference};
use std::path::Path;
use std::sync::Arc;

/// The first folder, and a slow one beside it.
fn stores(first: &Path, slow: &Path, types: &[&str], from_bytes: u64) -> Stores {
    let types = types.iter().map(|prefix| (*prefix).to_owned()).collect();
    let rule = Rule { place: "slow".into(), types, from_bytes };
    Stores::from(Arc::new(Folder::open(first).unwrap())).with(rule, Arc::new(Folder::open(slow).unwrap()))
}

#[test]
fn a_file_lies_where_its_row_says_whatever_the_settings_say_now() {
    let (dir, slow) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine();
    let first = stores(dir.path(), slow.path(), &["video/"], 400_000);
    let rig = Rig::with(dir, engine, settings(), first);
    let picture = rig.stored_as(1, b"picture", "image/jpeg");
    let video = rig.stored_as(2, b"moving picture", "video/mp4");
    let large = rig.stored_as(3, &long(), "text/plain");
    assert_eq!((rig.files().len(), files(slow.path()).len()), (1, 2));

    // Other settings: nothing moves, nothing is lost, and what has ended goes from where it is.
    let (dir, engine) = rig.stopped();
    let other = stores(dir.path(), slow.path(), &["image/"], 0);
    let rig = Rig::with(dir, engine, settings(), other);
    for (at, bytes) in [(&picture, &b"picture"[..]), (&video, b"moving picture"), (&large, &long())] {
        let got = rig.get(at, "");
        assert!(got.status == 200 && got.body == bytes, "{}", got.head);
    }
    rig.stored_as(4, b"picture", "image/jpeg");
    assert_eq!((rig.files().len(), files(slow.path()).len()), (1, 3), "equals in two places stay two");
    rig.until("equals are looked for", |rig| {
        use chaski_store::media::{Answer, Query};
        let (now_unix_ms, place) = (rig.time().unix_ms(), "".into());
        let due = rig.index().ask(Query::Due { now_unix_ms, place, after: None, limit: 9 }).unwrap();
        matches!(due, Answer::Due(due) if !due.has_new)
    });
    assert_eq!((rig.files().len(), files(slow.path()).len()), (1, 3));

    // Without the slow one it does not start, and deletes nothing.
    let (dir, engine) = rig.stopped();
    let alone = Stores::from(Arc::new(Folder::open(dir.path()).unwrap()));
    let (secrets, time, small) = (engine.secrets(), engine.time(), thumbnails(dir.path()));
    let alone = (alone, Staging::open(&unfinished(dir.path())).unwrap());
    let refused = Media::start(settings(), engine.media(), alone, secrets, time, small);
    let error = refused.map(drop).unwrap_err().to_string();
    assert!(error.contains("media.slow,"), "{error}");
    assert_eq!((files(dir.path()).len(), files(slow.path()).len()), (1, 3));

    let again = stores(dir.path(), slow.path(), &[], 0);
    let rig = Rig::with(dir, engine, settings(), again);
    rig.engine.records().clear(&[owner()]).unwrap();
    rig.until("all have gone", |rig| rig.files().is_empty() && files(slow.path()).is_empty());
    assert_eq!(rig.get(&video, "").status, 404);
}

#[test]
fn a_bucket_that_is_away_keeps_nobody_from_the_other_files() {
    let engine = engine();
    let (dir, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A port that nobody listens on any more.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bucket = bucket(&format!("http://{nobody}"));
    let rule = Rule { place: "s3_bucket".into(), types: vec!["video/".into()], from_bytes: 0 };
    let stores = Stores::from(Arc::new(Folder::open(dir.path()).unwrap()))
        .with(rule, Arc::new(S3::open(here.path(), &bucket, 1 << 30).unwrap()));
    let rig = Rig::with(dir, engine, settings(), stores);
    let (path, slot) = rig.slot(1, 5, "video/mp4", "a.mp4");
    for _ in 0..2 {
        let refused = rig.put(&path, b"12345");
        assert_eq!(refused.status, 503, "{}", refused.head);
        assert!(refused.header("retry-after").is_some(), "{}", refused.head);
    }
    assert_eq!(rig.get(&place(&slot), "").status, 404);
    let at = rig.stored_as(2, b"1234567890", "text/plain");
    assert_eq!(rig.get(&at, "").body, b"1234567890");
    // Nor from going: neither behind what came there and was not stored, nor behind more than a page of what is to be deleted there.
    let lying = |number: u128| {
        let (_, slot) = rig.slot(number, 1, "video/mp4", "a.mp4");
        let content = Content { sha256: [number as u8; 32], size: 1 };
        Reference {
            name: slot.name,
            owner: slot.owner,
            content,
            object: ObjectId(number),
            place: "s3_bucket".into(),
            media_type: slot.media_type,
            file_name: slot.file_name,
            purpose: slot.purpose,
            created_unix_ms: 0,
            expires_unix_ms: Some(1),
        }
    };
    for number in 0..=PAGE_MAX as u128 {
        let reference = lying(1_000 + number);
        let edit = Edit::Store { reference, registered_unix_ms: 0, quota_bytes: u64::MAX };
        assert_eq!(rig.index().edit(edit).unwrap(), Answer::Done(1));
    }
    let due = |rig: &Rig, place: &str| {
        let due = Query::Due {
            now_unix_ms: rig.time().unix_ms(),
            place: place.into(),
            after: None,
            limit: PAGE_MAX,
        };
        let Answer::Due(due) = rig.index().ask(due).unwrap() else { panic!("another answer") };
        due
    };
    rig.until("all that has ended is doomed", |rig| !due(rig, "").has_ended);
    assert_eq!(due(&rig, "s3_bucket").doomed.len(), PAGE_MAX);
    rig.index().edit(Edit::Expire { now_unix_ms: u64::MAX >> 1, limit: 1 }).unwrap();
    rig.until("the file in the folder is gone", |rig| {
        rig.files().is_empty() && due(rig, "").doomed.is_empty()
    });
    assert_eq!(due(&rig, "s3_bucket").doomed.len(), PAGE_MAX, "the bucket's wait for it");
}
