//! Uploads that go on (tus 1.0.0).

use crate::long;
use crate::rig::{Answered, Rig, owner, place, settings, unfinished};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaski_media::Settings;
use chaski_store::media::slot::Slot;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PATCH: &str = "Content-Type: application/offset+octet-stream\r\n";

fn ask(rig: &Rig, method: &str, path: &str, headers: &str, body: &[u8]) -> Answered {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    rig.ask(&head, body)
}

fn create(rig: &Rig, path: &str, length: usize) -> u16 {
    ask(rig, "POST", path, &format!("Upload-Length: {length}\r\n"), b"").status
}

fn patch(rig: &Rig, path: &str, offset: usize, bytes: &[u8]) -> Answered {
    ask(rig, "PATCH", path, &format!("{PATCH}Upload-Offset: {offset}\r\n"), bytes)
}

/// Where it says it is.
fn offset(answered: &Answered) -> Option<usize> {
    answered.header("upload-offset")?.parse().ok()
}

fn head(rig: &Rig, path: &str) -> (u16, Option<usize>) {
    let answered = ask(rig, "HEAD", path, "", b"");
    (answered.status, offset(&answered))
}

/// Files of what is not finished.
fn left(rig: &Rig) -> usize {
    std::fs::read_dir(unfinished(rig.dir.path())).unwrap().count()
}

/// Begins to send so many bytes from an offset, and sends these.
fn send_some(rig: &Rig, path: &str, headers: &str, offset: usize, length: usize, bytes: &[u8]) -> TcpStream {
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n{PATCH}{headers}Upload-Offset: {offset}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    rig.runtime.block_on(async {
        let mut tcp = TcpStream::connect(rig.addr).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        tcp
    })
}

/// Waits until so much has been received since the start.
fn received(rig: &Rig, bytes: usize) {
    rig.until("bytes that come", |rig| rig.counted("chaski_media_received_bytes_total") >= bytes as i64);
}

#[test]
fn an_upload_goes_on_after_a_stop_and_is_served_when_it_is_whole() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, long().len(), "image/jpeg", "Grüße 1.jpg");
    let about = "Upload-Length: 400001\r\nUpload-Metadata: filename YS5qcGc=,private\r\n";
    let created = ask(&rig, "POST", &path, about, b"");
    assert_eq!((created.status, created.header("tus-resumable")), (201, Some("1.0.0")), "{}", created.head);
    assert_eq!(created.header("location"), Some(&*path.to_lowercase()), "the slot's URL is the upload");
    assert!(created.header("upload-expires").unwrap().ends_with(" gmt"));
    let begun = patch(&rig, &path, 0, &long()[..150_000]);
    assert_eq!((begun.status, offset(&begun)), (204, Some(150_000)));
    assert_eq!(rig.get(&place(&slot), "").status, 404, "it is not whole");
    let rig = rig.restart(settings());
    let found = ask(&rig, "HEAD", &path, "", b"");
    assert_eq!((found.status, offset(&found)), (200, Some(150_000)));
    assert_eq!(found.header("upload-length"), Some("400001"));
    assert_eq!(found.header("upload-metadata"), Some("filename ys5qcgc=,private"));
    assert_eq!(found.header("cache-control"), Some("no-store"));
    assert_eq!(offset(&patch(&rig, &path, 150_000, &long()[150_000..400_000])), Some(400_000));
    let whole = patch(&rig, &path, 400_000, &long()[400_000..]);
    assert_eq!((whole.status, offset(&whole), whole.header("upload-expires")), (204, Some(400_001), None));
    let got = rig.get(&place(&slot), "");
    assert!(got.status == 200 && got.body == long());
    assert_eq!(got.header("content-type"), Some("image/jpeg"));
    // Whose last answer was lost.
    assert_eq!(head(&rig, &path), (200, Some(400_001)));
    assert_eq!(patch(&rig, &path, 400_001, b"").status, 204);
    assert_eq!(patch(&rig, &path, 400_000, b"x").status, 409);
    assert_eq!(create(&rig, &path, 400_001), 409, "a slot is for one upload");
    assert_eq!(ask(&rig, "DELETE", &path, "", b"").status, 403);
    assert_eq!((left(&rig), rig.files().len()), (0, 1));
}

#[test]
fn what_has_come_of_a_request_that_is_cut_stays() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, long().len(), "image/jpeg", "a.jpg");
    assert_eq!(create(&rig, &path, long().len()), 201);
    let tcp = send_some(&rig, &path, "", 0, long().len(), &long()[..300_000]);
    received(&rig, 300_000);
    drop(tcp);
    rig.until("an end", |rig| rig.counted("chaski_media_uploads_cut_total") == 1);
    assert_eq!(head(&rig, &path), (200, Some(300_000)));
    // It hangs, and its client has another connection.
    let mut hangs = send_some(&rig, &path, "", 300_000, 100_001, &long()[300_000..350_000]);
    received(&rig, 350_000);
    assert_eq!(head(&rig, &path), (200, Some(350_000)));
    assert_eq!(rig.runtime.block_on(Answered::read(&mut hangs, false)).status, 409);
    assert_eq!(patch(&rig, &path, 350_000, &long()[350_000..]).status, 204);
    assert!(rig.get(&place(&slot), "").body == long());
}

#[test]
fn what_does_not_have_its_checksum_does_not_count() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 20, "image/jpeg", "a.jpg");
    assert_eq!(create(&rig, &path, 20), 201);
    let sha1 = |bytes: &[u8]| format!("Upload-Checksum: sha1 {}\r\n", STANDARD.encode(Sha1::digest(bytes)));
    let sha256 =
        |bytes: &[u8]| format!("Upload-Checksum: sha256 {}\r\n", STANDARD.encode(Sha256::digest(bytes)));
    let send = |offset: usize, checksum: &str, bytes: &[u8]| {
        ask(&rig, "PATCH", &path, &format!("{PATCH}{checksum}Upload-Offset: {offset}\r\n"), bytes).status
    };
    assert_eq!(send(0, &sha1(b"0123456789"), b"0123456788"), 460);
    assert_eq!(head(&rig, &path), (200, Some(0)));
    assert_eq!(send(0, "Upload-Checksum: crc32 AAAA\r\n", b"0123456789"), 400);
    assert_eq!(send(0, &sha1(b"0123456789"), b"0123456789"), 204);
    // A part of what has a checksum says nothing.
    drop(send_some(&rig, &path, &sha256(b"abcdefghij"), 10, 10, b"abcde"));
    rig.until("an end", |rig| rig.counted("chaski_media_uploads_cut_total") == 1);
    assert_eq!(head(&rig, &path), (200, Some(10)));
    assert_eq!(send(10, &sha256(b"abcdefghij"), b"abcdefghiJ"), 460);
    assert_eq!(rig.get(&place(&slot), "").status, 404);
    assert_eq!(send(10, &sha256(b"abcdefghij"), b"abcdefghij"), 204);
    assert_eq!(rig.get(&place(&slot), "").body, b"0123456789abcdefghij");
    assert_eq!(rig.counted("chaski_media_checksums_failed_total"), 2);
}

#[test]
fn an_upload_is_what_its_slot_says() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 10, "image/png", "a.png");
    for method in ["POST", "PATCH", "DELETE"] {
        let old =
            rig.ask(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 0.2.2\r\n\r\n"), b"");
        assert_eq!((old.status, old.header("tus-version")), (412, Some("1.0.0")), "{method}");
    }
    assert_eq!(head(&rig, &path), (404, None), "it has not begun");
    assert_eq!(patch(&rig, &path, 0, b"1").status, 404);
    assert_eq!(create(&rig, &path, 11), 413);
    assert_eq!(create(&rig, &path, 9), 400);
    assert_eq!(ask(&rig, "POST", &path, "Upload-Defer-Length: 1\r\n", b"").status, 400);
    assert_eq!(create(&rig, &place(&slot), 10), 403, "no ticket");
    let much = format!("Upload-Length: 10\r\nUpload-Metadata: a {}\r\n", "A".repeat(2_100));
    assert_eq!(ask(&rig, "POST", &path, &much, b"").status, 431);
    let late = rig.path(&Slot { until_unix_ms: rig.time().unix_ms() - 1, ..slot.clone() });
    assert_eq!((create(&rig, &late, 10), head(&rig, &late).0), (403, 410));
    assert_eq!((left(&rig), rig.files().len()), (0, 0));
    assert_eq!(create(&rig, &path, 10), 201);
    assert_eq!(patch(&rig, &path, 1, b"2").status, 409, "it is not there");
    assert_eq!(patch(&rig, &path, 0, b"12345678901").status, 413);
    assert_eq!(ask(&rig, "PATCH", &path, "Upload-Offset: 0\r\n", b"1").status, 415);
    assert_eq!(ask(&rig, "PATCH", &path, &format!("{PATCH}Upload-Offset: -1\r\n"), b"1").status, 400);
    let chunked = format!(
        "PATCH {path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n{PATCH}Upload-Offset: 0\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(rig.ask(&chunked, b"b\r\n12345678901\r\n0\r\n\r\n").status, 413);
    assert_eq!(rig.ask(&chunked, b"4\r\n1234\r\n0\r\n\r\n").status, 204, "the length may come with its end");
    assert_eq!(patch(&rig, &late, 4, b"56").status, 204, "what has begun has a time of its own");
    // By a client that can't send these methods.
    let posted = ask(
        &rig,
        "POST",
        &path,
        &format!("X-HTTP-Method-Override: PATCH\r\n{PATCH}Upload-Offset: 6\r\n"),
        b"7890",
    );
    assert_eq!(posted.status, 204);
    assert_eq!(rig.get(&place(&slot), "").body, b"1234567890");
    let (path, slot) = rig.slot(2, 10, "image/png", "b.png");
    let announced = rig.path(&Slot { sha256: Some([1; 32]), ..slot });
    assert_eq!((create(&rig, &announced, 10), patch(&rig, &announced, 0, b"1234567890").status), (201, 400));
    assert_eq!(head(&rig, &path).0, 404, "it has to begin anew");
}

#[test]
fn a_client_that_has_forgotten_begins_anew_and_one_that_puts_needs_no_pieces() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 10, "image/png", "a.png");
    assert_eq!(create(&rig, &path, 10), 201);
    assert_eq!(patch(&rig, &path, 0, b"12345").status, 204);
    let headers = format!("{PATCH}Upload-Length: 10\r\n");
    let begun = ask(&rig, "POST", &path, &headers, b"abcd");
    assert_eq!((begun.status, offset(&begun)), (201, Some(4)), "bytes may come with it");
    assert_eq!(patch(&rig, &path, 4, b"ef").status, 204);
    assert_eq!(rig.put(&path, b"0123456789").status, 201);
    assert_eq!((rig.get(&place(&slot), "").body, left(&rig)), (b"0123456789".to_vec(), 0));
    assert_eq!(head(&rig, &path), (200, Some(10)));
    let (path, slot) = rig.slot(2, 10, "image/png", "a.png");
    let whole = ask(&rig, "POST", &path, &headers, b"abcdefghij");
    assert_eq!((whole.status, offset(&whole)), (201, Some(10)));
    assert_eq!(rig.get(&place(&slot), "").body, b"abcdefghij");
}

#[test]
fn unfinished_uploads_have_bounds_and_an_end() {
    let rig = Rig::new(Settings { unfinished_per_account: 2, quota_bytes: 30_000, ..settings() });
    let [one, two, three] = [1, 2, 3].map(|number| rig.slot(number, 4_000, "image/png", "a.png").0);
    assert_eq!((create(&rig, &one, 4_000), create(&rig, &two, 4_000)), (201, 201));
    let refused = ask(&rig, "POST", &three, "Upload-Length: 4000\r\n", b"");
    assert_eq!((refused.status, refused.header("retry-after")), (507, Some("600")), "two of an account");
    assert_eq!(ask(&rig, "DELETE", &one, "", b"").status, 204);
    assert_eq!((head(&rig, &one).0, ask(&rig, "DELETE", &one, "", b"").status), (404, 404));
    let large = rig.slot(4, 20_000, "image/png", "a.png").0;
    assert_eq!(create(&rig, &large, 20_000), 507, "what is unfinished counts");
    assert_eq!(create(&rig, &three, 4_000), 201);
    assert_eq!(rig.counted("chaski_media_unfinished"), 2);
    let rig = rig.restart(Settings { unfinished_ms: 100, ..settings() });
    assert_eq!((rig.counted("chaski_media_unfinished"), left(&rig)), (2, 4));
    let (path, slot) = rig.slot(5, 10, "image/png", "a.png");
    assert_eq!(create(&rig, &path, 10), 201);
    patch(&rig, &path, 0, b"12345");
    rig.until("an end", |rig| left(rig) == 4);
    assert_eq!(head(&rig, &path).0, 404);
    let late = rig.path(&Slot { until_unix_ms: rig.time().unix_ms() - 1, ..slot });
    assert_eq!(patch(&rig, &late, 5, b"67890").status, 410);
    assert_eq!(rig.counted("chaski_media_unfinished_expired_total"), 1);
    let rig = rig.restart(Settings { reserve_bytes: u64::MAX / 2, ..settings() });
    assert_eq!(create(&rig, &path, 10), 507, "the disk has no room");
    assert_eq!(patch(&rig, &two, 0, b"1").status, 507);
}

/// Every place at which a kill may come at the end: what was not answered for is done when it is asked for.
#[test]
fn what_a_kill_has_left_at_the_end_is_seen_to() {
    let rig = Rig::new(settings());
    let (path, slot) = rig.slot(1, 10, "image/png", "a.png");
    assert_eq!(create(&rig, &path, 10), 201);
    // All has come, and the backend does not take it.
    let (there, away) = (rig.dir.path().join("arriving"), rig.dir.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    assert_eq!(patch(&rig, &path, 0, b"1234567890").status, 503);
    std::fs::rename(&away, &there).unwrap();
    let rig = rig.restart(settings());
    assert_eq!(rig.get(&place(&slot), "").status, 404);
    let kept: Vec<_> =
        std::fs::read_dir(unfinished(rig.dir.path())).unwrap().map(|it| it.unwrap().path()).collect();
    let saved: Vec<_> = kept.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert_eq!(head(&rig, &path), (200, Some(10)));
    assert_eq!(rig.get(&place(&slot), "").body, b"1234567890");
    // It has a row, and what it was made of is still there.
    kept.iter().zip(saved).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let rig = rig.restart(settings());
    assert_eq!(left(&rig), 0);
    assert_eq!(head(&rig, &path), (200, Some(10)));
    let nobody =
        Slot { owner: chaski_store::AccountId::service("nobody"), ..rig.slot(2, 5, "image/png", "b.png").1 };
    assert_ne!(nobody.owner, owner());
    assert_eq!(create(&rig, &rig.path(&nobody), 5), 201);
    assert_eq!(patch(&rig, &rig.path(&nobody), 0, b"12345").status, 403);
    assert_eq!(left(&rig), 0);
}

#[test]
fn a_slow_piece_is_judged_by_progress_and_stays() {
    let rig =
        Rig::new(Settings { progress_time: Duration::from_millis(300), progress_bytes: 20, ..settings() });
    let (path, _) = rig.slot(1, 400, "image/png", "a.png");
    assert_eq!(create(&rig, &path, 400), 201);
    let mut slow = send_some(&rig, &path, "", 0, 400, &[7; 10]);
    assert_eq!(rig.runtime.block_on(Answered::read(&mut slow, false)).status, 408);
    assert_eq!(head(&rig, &path), (200, Some(10)));
}

#[test]
fn browsers_are_told_what_is_spoken() {
    let rig = Rig::new(settings());
    let (path, _) = rig.slot(1, 10, "image/png", "a.png");
    let preflight =
        format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Method: PATCH\r\n\r\n");
    let said = rig.ask(&preflight, b"");
    assert_eq!((said.status, said.header("tus-version")), (204, Some("1.0.0")));
    assert_eq!(said.header("tus-checksum-algorithm"), Some("sha1,sha256"));
    for extension in ["creation", "creation-with-upload", "expiration", "checksum", "termination"] {
        assert!(said.header("tus-extension").unwrap().split(',').any(|it| it == extension), "{extension}");
    }
    for allowed in ["tus-resumable", "upload-length", "upload-offset", "upload-metadata", "upload-checksum"] {
        assert!(said.header("access-control-allow-headers").unwrap().contains(allowed), "{allowed}");
    }
    let created = ask(&rig, "POST", &path, "Upload-Length: 10\r\nOrigin: https://web.example\r\n", b"");
    assert_eq!(created.header("access-control-allow-origin"), Some("*"));
    for exposed in ["location", "upload-offset", "upload-length", "upload-expires", "tus-resumable"] {
        assert!(created.header("access-control-expose-headers").unwrap().contains(exposed), "{exposed}");
    }
}
