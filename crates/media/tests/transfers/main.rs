//! Uploads and downloads over a real connection, against the memory engine's index and a real folder.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

#[path = "../bucket/served.rs"]
mod bucket;
mod check;
mod everywhere;
mod kills;
mod operator;
mod rig;
mod small;
mod tiers;
mod tus;
mod ways;

use chaski_media::objects::Objects;
use chaski_media::objects::folder::Folder;
use chaski_media::{PATH, Settings};
use chaski_store::AccountId;
use chaski_store::Engine;
use chaski_store::media::slot::Slot;
use chaski_store::media::{Answer, Edit, Name, PAGE_MAX, Purpose, Query};
use rig::{Answered, Rig, files, place, settings};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than some pieces, of which each byte says where it is.
fn long() -> Vec<u8> {
    (0..400_001_u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_file_comes_back_as_it_was_put() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, long().len(), "image/jpeg", "Grüße 1.jpg");
    // The type is the slot's, whatever the upload says.
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
        long().len()
    );
    assert_eq!(rig.ask(&head, &long()).status, 201);
    let got = rig.get(&place(&slot), "");
    assert_eq!((got.status, got.body == long()), (200, true));
    for (name, value) in [
        ("content-length", "400001"),
        ("content-type", "image/jpeg"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("access-control-allow-origin", "*"),
        ("content-disposition", "inline; filename=\"gr__e 1.jpg\"; filename*=utf-8''gr%c3%bc%c3%9fe%201.jpg"),
    ] {
        assert_eq!(got.header(name), Some(value), "{}", got.head);
    }
    assert!(got.header("cache-control").unwrap().ends_with("immutable"));
    let (exposed, tag) = (got.header("access-control-expose-headers").unwrap(), got.header("etag").unwrap());
    assert!(exposed.contains("content-range") && exposed.contains("upload-offset"), "{exposed}");
    let head =
        rig.ask(&format!("HEAD {} HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\n", place(&slot)), b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("400001")));
    assert_eq!(head.header("etag"), Some(tag));
    let accept = rig.get(&place(&slot), "Accept-Encoding: gzip, br, zstd\r\n");
    assert_eq!((accept.header("content-encoding"), accept.body.len()), (None, 400_001));
    let known = rig.get(&place(&slot), &format!("If-None-Match: \"x\", {tag}\r\n"));
    assert_eq!((known.status, known.header("etag")), (304, Some(tag)));
    assert_eq!(rig.get(&place(&slot), "If-None-Match: \"x\"\r\n").status, 200);
}

#[test]
fn parts_are_sent_as_they_are_asked_for() {
    let rig = Rig::new(settings());
    let at = rig.stored(1, &long());
    let tag = rig.get(&at, "").header("etag").unwrap().to_owned();
    for (range, status, said, bytes) in [
        ("bytes=0-0", 206, "bytes 0-0/400001", 0..1),
        ("bytes=200000-", 206, "bytes 200000-400000/400001", 200_000..400_001),
        ("bytes=-5", 206, "bytes 399996-400000/400001", 399_996..400_001),
        ("bytes=0-", 206, "bytes 0-400000/400001", 0..400_001),
        ("bytes=70000-300000", 206, "bytes 70000-300000/400001", 70_000..300_001),
    ] {
        let got = rig.get(&at, &format!("Range: {range}\r\nIf-Range: {tag}\r\n"));
        assert_eq!((got.status, got.header("content-range")), (status, Some(said)), "{range}");
        assert_eq!(got.header("content-length").unwrap(), bytes.len().to_string());
        assert!(got.body == long()[bytes], "{range}");
    }
    let beyond = rig.get(&at, "Range: bytes=400001-\r\n");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */400001")));
    for whole in
        ["Range: bytes=0-1, 5-6\r\n", "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n", "Range: lines=1-2\r\n"]
    {
        let got = rig.get(&at, whole);
        assert_eq!(
            (got.status, got.body.len(), got.header("content-range")),
            (200, 400_001, None),
            "{whole}"
        );
    }
}

#[test]
fn what_may_hold_a_script_is_only_saved() {
    let rig = Rig::new(settings());
    for (number, media_type) in
        (1..).zip(["image/svg+xml", "text/html", "application/pdf", "application/octet-stream"])
    {
        let (path, slot) = rig.slot(number, 5, media_type, "a.html");
        assert_eq!(rig.put(&path, b"<svg>").status, 201);
        let got = rig.get(&place(&slot), "");
        assert!(got.header("content-disposition").unwrap().starts_with("attachment; "), "{}", got.head);
        assert_eq!(got.header("content-type"), Some(media_type));
    }
}

#[test]
fn an_upload_is_what_its_slot_says() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 10, "image/png", "a.png");
    let bare = place(&slot);
    assert_eq!(rig.put(&path, b"123456789").status, 400, "too short");
    assert_eq!(rig.put(&path, b"12345678901").status, 413, "too long");
    let chunked = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n1234567890\r\n0\r\n\r\n"
    );
    assert_eq!(rig.ask(&chunked, b"").status, 411);
    assert_eq!(rig.put(&bare, b"1234567890").status, 403, "no ticket");
    let mut tampered = path.clone().into_bytes();
    let at = tampered.len() - 30;
    tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(rig.put(&String::from_utf8(tampered).unwrap(), b"1234567890").status, 403, "another ticket");
    let other_name = path.replace("a.png", "b.png");
    assert_eq!(rig.put(&other_name, b"1234567890").status, 403, "for another file");
    let other = rig.path(&Slot { name: Name(2), ..slot.clone() });
    let swapped = format!("{bare}?{}", other.split_once('?').unwrap().1);
    assert_eq!(rig.put(&swapped, b"1234567890").status, 403, "of another name");
    let late = rig.path(&Slot { until_unix_ms: rig.time().unix_ms() - 1, ..slot.clone() });
    assert_eq!(rig.put(&late, b"1234567890").status, 403, "late");
    let announced = rig.path(&Slot { sha256: Some([1; 32]), ..slot.clone() });
    assert_eq!(rig.put(&announced, b"1234567890").status, 400, "not what was announced");
    let nobody = rig.path(&Slot { owner: AccountId::service("nobody"), ..slot.clone() });
    assert_eq!(rig.put(&nobody, b"1234567890").status, 403, "of nobody");
    let post = rig.ask(&format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), b"");
    assert_eq!(post.status, 405, "that would be tus");
    assert!(post.header("allow").unwrap().contains("put"), "{}", post.head);
    assert_eq!(rig.get(&bare, "").status, 404);
    assert_eq!(rig.files(), [""; 0], "nothing of these is left");
    assert_eq!(rig.put(&path, b"1234567890").status, 201);
    assert_eq!(rig.get(&bare, "").body, b"1234567890");
}

#[test]
fn a_slot_is_for_one_upload() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 10, "image/png", "a.png");
    assert_eq!(rig.put(&path, b"1234567890").status, 201);
    assert_eq!(rig.put(&path, b"0987654321").status, 409, "another file");
    assert_eq!(rig.get(&place(&slot), "").body, b"1234567890");
    assert_eq!(rig.put(&path, b"1234567890").status, 201, "whose answer was lost");
    rig.until("one file", |rig| rig.files().len() == 1 && !rig.files()[0].starts_with("arriving"));
}

#[test]
fn what_leads_elsewhere_leads_nowhere() {
    let rig = Rig::new(settings());
    let at = rig.stored(1, b"1234567890");
    let name = Name(1).to_text();
    for path in [
        format!("{PATH}/{name}/other.jpg"),
        format!("{PATH}/{name}/"),
        format!("{PATH}/{name}"),
        format!("{PATH}/{}/photo.jpg", name.to_uppercase().replace('0', "F")),
        format!("{PATH}/..%2f..%2fetc/passwd"),
        format!("{PATH}/{name}/..%2fphoto.jpg"),
        format!("{PATH}/{name}/photo.jpg%00"),
        format!("{PATH}/{name}/%ff"),
        format!("{PATH}/{}/photo.jpg", Name(2).to_text()),
    ] {
        assert!([400, 404].contains(&rig.get(&path, "").status), "{path}");
    }
    assert_eq!(rig.get(&at.replace("photo", "%70hoto"), "").status, 200, "the same, written otherwise");
}

#[test]
fn browsers_of_other_origins_may() {
    let rig = Rig::new(settings());
    let (path, _) = rig.slot(1, 10, "image/png", "a.png");
    let preflight = format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://web.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
    );
    let answered = rig.ask(&preflight, b"");
    assert_eq!((answered.status, answered.header("access-control-allow-origin")), (204, Some("*")));
    let methods = answered.header("access-control-allow-methods").unwrap();
    for method in ["get", "head", "put", "post", "patch", "options"] {
        assert!(methods.contains(method), "{methods}");
    }
    assert!(answered.header("access-control-allow-headers").unwrap().contains("content-type"));
    // An error can be read, too.
    assert_eq!(rig.put(&path, b"1").header("access-control-allow-origin"), Some("*"));
    assert_eq!(rig.get("/media/none/none", "").header("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_body_that_is_cut_leaves_nothing() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 200_000, "image/png", "a.png");
    let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    rig.runtime.block_on(async {
        let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        tcp.write_all(&[7; 150_000]).await.unwrap();
        while files(rig.dir.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(files(rig.dir.path())[0].starts_with("arriving/"));
    });
    assert_eq!(rig.get(&place(&slot), "").status, 404);
    rig.until("nothing is left", |rig| rig.files().is_empty());
    assert_eq!(rig.put(&path, &[7; 200_000]).status, 201, "the slot is still good");
}

#[test]
fn slow_is_judged_by_progress() {
    let rig =
        Rig::new(Settings { progress_time: Duration::from_millis(600), progress_bytes: 20, ..settings() });
    let (path, slot) = rig.slot(1, 400, "image/png", "a.png");
    let send = |pause_ms: u64, piece: usize| {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n");
        rig.runtime.block_on(async {
            let (mut read, mut write) = TcpStream::connect(rig.addr).await.unwrap().into_split();
            write.write_all(head.as_bytes()).await.unwrap();
            let sends = async {
                for _ in 0..400 / piece {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    if write.write_all(&vec![7; piece]).await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            let mut answer = [0; 12];
            tokio::select! {
                () = sends => unreachable!(),
                read = read.read_exact(&mut answer) => assert_eq!(read.unwrap(), 12),
            }
            String::from_utf8(answer[9..].to_vec()).unwrap()
        })
    };
    assert_eq!(send(100, 1), "408", "a byte now and then is no progress");
    assert_eq!(rig.get(&place(&slot), "").status, 404);
    assert_eq!(send(100, 20), "201", "it takes more than three times as long as a window");
}

#[test]
fn a_newer_upload_of_a_slot_takes_the_place_of_one_that_hangs() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 100, "image/png", "a.png");
    let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    let mut hangs = rig.runtime.block_on(async {
        let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        while files(rig.dir.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tcp
    });
    assert_eq!(rig.put(&path, &[1; 100]).status, 201);
    let told = rig.runtime.block_on(Answered::read(&mut hangs, false));
    assert_eq!(told.status, 409);
    assert_eq!(rig.get(&place(&slot), "").body, [1; 100]);
}

#[test]
fn transfers_have_a_bound() {
    let rig = Rig::new(Settings { transfers: 1, ..settings() });
    let at = rig.stored(1, &vec![1; 8 << 20]);
    let mut reader = rig.runtime.block_on(async {
        let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
        tcp.write_all(format!("GET {at} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        tcp.read_exact(&mut [0; 100]).await.unwrap();
        tcp
    });
    let refused = rig.get(&at, "");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    let (path, _) = rig.slot(2, 1, "image/png", "a.png");
    assert_eq!(rig.put(&path, b"1").status, 503);
    rig.runtime.block_on(async {
        let mut rest = vec![0; 8 << 20];
        reader.read_exact(&mut rest[..(8 << 20) - 100]).await.unwrap();
    });
    rig.until("a place", |rig| rig.get(&at, "").status == 200);
}

#[test]
fn without_room_on_the_disk_or_in_the_quota_uploads_are_refused() {
    let rig = Rig::new(Settings { reserve_bytes: u64::MAX / 2, ..settings() });
    let (path, _) = rig.slot(1, 1, "image/png", "a.png");
    let full = rig.put(&path, b"1");
    assert_eq!((full.status, full.header("retry-after")), (507, Some("600")));
    let rig = rig.restart(Settings { quota_bytes: 5_000, ..settings() });
    let (path, slot) = rig.slot(1, 904, "image/png", "a.png");
    assert_eq!(rig.put(&path, &[1; 904]).status, 201);
    let (path, _) = rig.slot(2, 1, "image/png", "a.png");
    assert_eq!(rig.put(&path, b"1").status, 507);
    assert_eq!(rig.get(&place(&slot), "").status, 200);
    rig.until("nothing but the file", |rig| rig.files().len() == 1);
}

#[test]
fn equal_files_become_one_and_nothing_shows_it() {
    let rig = Rig::new(settings());
    let (first, second) = (rig.stored(1, b"1234567890"), rig.stored(2, b"1234567890"));
    let before = [&first, &second].map(|at| rig.get(at, ""));
    rig.until("one file", |rig| rig.files().len() == 1);
    let after = [&first, &second].map(|at| rig.get(at, ""));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((after.status, &after.body[..]), (200, &b"1234567890"[..]));
        assert_eq!(before.header("etag"), after.header("etag"));
    }
    rig.index().edit(Edit::Expire { now_unix_ms: u64::MAX >> 1, limit: 1 }).unwrap();
    assert_eq!(rig.get(&second, "").status, 200, "the first has ended, the second not");
    rig.index().edit(Edit::Expire { now_unix_ms: u64::MAX >> 1, limit: 1 }).unwrap();
    rig.until("no file", |rig| rig.files().is_empty());
    assert_eq!(rig.get(&second, "").status, 404);
}

#[test]
fn what_has_ended_goes_from_the_disk() {
    let rig = Rig::new(Settings { expire_ms: 200, ..settings() });
    let at = rig.stored(1, b"1234567890");
    rig.until("an end", |rig| rig.get(&at, "").status == 404);
    rig.until("no file", |rig| rig.files().is_empty());
    // The row is struck off after the file.
    rig.until("nothing doomed", |rig| {
        let due = rig
            .index()
            .ask(Query::Due { now_unix_ms: 0, place: "".into(), after: None, limit: PAGE_MAX })
            .unwrap();
        matches!(due, Answer::Due(due) if due.doomed.is_empty())
    });
}

/// One that its backend refuses to delete keeps no others, and goes when it can.
#[test]
fn what_cannot_be_deleted_keeps_no_other_file() {
    let rig = Rig::new(settings());
    let count = 40;
    (1..=count).for_each(|number| drop(rig.stored(number, &number.to_le_bytes())));
    rig.until("all have settled", |rig| rig.files().iter().all(|file| !file.starts_with("arriving")));
    let files = rig.files();
    // What stands in the place of the first in order is no file.
    let stuck = rig.dir.path().join(&files[0]);
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir_all(stuck.join("kept")).unwrap();
    rig.engine.records().clear(&[rig::owner()]).unwrap();
    let doomed = |rig: &Rig| {
        let due = Query::Due { now_unix_ms: 0, place: "".into(), after: None, limit: PAGE_MAX };
        let Answer::Due(due) = rig.index().ask(due).unwrap() else { panic!("another answer") };
        due.doomed.len()
    };
    rig.until("all others have gone", |rig| rig.files().len() == 1 && doomed(rig) == 1);
    std::fs::remove_dir_all(&stuck).unwrap();
    rig.until("and it", |rig| doomed(rig) == 0);
}

/// Every place at which a kill may come: what has a row is served, what has none is gone.
#[test]
fn a_start_sees_to_what_a_kill_has_left() {
    let rig = Rig::new(settings());
    let at = rig.stored(1, b"1234567890");
    rig.until("settled", |rig| !rig.files()[0].starts_with("arriving"));
    // Killed between the row and the move: it is still among the arrivals.
    let settled = rig.files().remove(0);
    let file = settled.rsplit('/').next().unwrap().to_owned();
    std::fs::rename(rig.dir.path().join(&settled), rig.dir.path().join("arriving").join(&file)).unwrap();
    assert_eq!(rig.get(&at, "").status, 200, "it is served from there");
    // Killed before the row: half of one, and a whole one.
    for (object, whole) in [(7, false), (8, true)] {
        let folder = Folder::open(rig.dir.path()).unwrap();
        let mut incoming = folder.begin(chaski_store::media::ObjectId(object)).unwrap();
        incoming.write(b"left over").unwrap();
        if whole { incoming.finish().unwrap() } else { std::mem::forget(incoming) }
    }
    assert_eq!(rig.files().len(), 3);
    let rig = rig.restart(settings());
    assert_eq!(rig.files(), [settled]);
    assert_eq!(rig.get(&at, "").body, b"1234567890");
    // Killed between the row's end and the file's.
    let rig = rig.restart(Settings { sweep_every: Duration::from_secs(3_600), ..settings() });
    rig.until("the first look", |_| true);
    rig.index().edit(Edit::Expire { now_unix_ms: u64::MAX >> 1, limit: 9 }).unwrap();
    assert_eq!(rig.get(&at, "").status, 404);
    let rig = rig.restart(settings());
    rig.until("no file", |rig| rig.files().is_empty());
}

#[test]
fn files_of_a_profile_stay_until_there_are_newer_ones() {
    let rig = Rig::new(Settings { expire_ms: 1, profiles_kept: 2, ..settings() });
    let paths: Vec<String> = (1..=4)
        .map(|number| {
            let (_, slot) = rig.slot(number, 1, "image/png", "a.png");
            let slot = Slot { purpose: Purpose::Profile, ..slot };
            assert_eq!(rig.put(&rig.path(&slot), &[number as u8]).status, 201);
            std::thread::sleep(Duration::from_millis(3));
            place(&slot)
        })
        .collect();
    rig.until("the newest two", |rig| {
        paths.iter().map(|at| rig.get(at, "").status).collect::<Vec<_>>() == [404, 404, 200, 200]
    });
}

#[test]
fn what_files_take_of_the_bandwidth_may_have_a_bound() {
    let rig = Rig::new(Settings { bytes_per_second: 1_000_000, ..settings() });
    let began = tokio::time::Instant::now();
    let at = rig.stored(1, &long());
    assert!(rig.get(&at, "").body == long());
    // All but the pieces that pass at once.
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}
