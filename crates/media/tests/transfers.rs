//! Uploads and downloads over a real connection, against the memory engine's index and a real folder.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

use chaski_media::objects::Objects;
use chaski_media::objects::folder::Folder;
use chaski_media::thumbnail::{self, Program, Thumbnails};
use chaski_media::{Media, PATH, Settings};
use chaski_store::media::slot::{Slot, SlotKeys};
use chaski_store::media::{Answer, Edit, Index, Name, PAGE_MAX, Purpose, Query};
use chaski_store::memory::MemoryEngine;
use chaski_store::records::Put;
use chaski_store::{AccountId, Engine, Table, Time};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A service on a port of its own.
struct Rig {
    dir: tempfile::TempDir,
    engine: MemoryEngine,
    media: Option<Media>,
    addr: SocketAddr,
    runtime: Runtime,
}

fn owner() -> AccountId {
    AccountId::phone(15_551_230_001).unwrap()
}

fn settings() -> Settings {
    Settings { sweep_every: Duration::from_millis(20), reserve_bytes: 0, ..Settings::default() }
}

impl Rig {
    fn new(settings: Settings) -> Self {
        let engine = MemoryEngine::new();
        let put = Put { table: Table::Accounts, key: owner().record_key(), value: Some(b"{}".to_vec()) };
        engine.records().put_all(vec![put]).unwrap();
        Self::on(tempfile::tempdir().unwrap(), engine, settings)
    }

    fn on(dir: tempfile::TempDir, engine: MemoryEngine, settings: Settings) -> Self {
        let folder = Arc::new(Folder::open(dir.path()).unwrap());
        let media = Media::start(
            settings,
            engine.media(),
            folder,
            &engine.secret(),
            engine.time(),
            thumbnails(dir.path()),
        )
        .unwrap();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let app = media.routes().into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { dir, engine, media: Some(media), addr, runtime }
    }

    /// Starts again on what is there.
    fn restart(mut self, settings: Settings) -> Self {
        if let Some(media) = self.media.take() {
            media.stop(Duration::from_secs(5));
        }
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        Self::on(self.dir, self.engine, settings)
    }

    fn time(&self) -> Arc<Time> {
        self.engine.time()
    }

    fn index(&self) -> Arc<dyn Index> {
        self.engine.media()
    }

    /// A slot, and the path with its ticket.
    fn slot(&self, number: u128, size: usize, media_type: &str, file_name: &str) -> (String, Slot) {
        let slot = Slot {
            name: Name(number),
            owner: owner(),
            size: size as u64,
            media_type: media_type.into(),
            file_name: file_name.into(),
            purpose: Purpose::Message,
            until_unix_ms: self.time().unix_ms() + 600_000,
            sha256: None,
        };
        (self.path(&slot), slot)
    }

    fn path(&self, slot: &Slot) -> String {
        let ticket = SlotKeys::new(&self.engine.secret()).seal(slot);
        format!("{}?slot={ticket}", place(slot))
    }

    /// Uploads something and says where it is.
    fn stored(&self, number: u128, bytes: &[u8]) -> String {
        let (path, slot) = self.slot(number, bytes.len(), "image/jpeg", "photo.jpg");
        assert_eq!(self.put(&path, bytes).status, 201);
        place(&slot)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Answered {
        self.ask(&format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len()), bytes)
    }

    fn get(&self, path: &str, headers: &str) -> Answered {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"), b"")
    }

    fn ask(&self, head: &str, body: &[u8]) -> Answered {
        self.runtime.block_on(async {
            let mut tcp = TcpStream::connect(self.addr).await.unwrap();
            tcp.write_all(head.as_bytes()).await.unwrap();
            // Who refuses may not read all of it.
            let _ = tcp.write_all(body).await;
            let is_head = head.starts_with("HEAD");
            tokio::time::timeout(Duration::from_secs(20), Answered::read(&mut tcp, is_head)).await.unwrap()
        })
    }

    fn files(&self) -> Vec<String> {
        files(self.dir.path())
    }

    fn thumbnails_made(&self) -> i64 {
        let mut registry = chaski_telemetry::Registry::default();
        self.media.as_ref().unwrap().metrics().into_iter().for_each(|source| registry.register(source));
        let text = registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix("chaski_thumbnails_made_total "));
        line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// Waits until something is so.
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("did not come: {what}; {:?}", self.files());
    }
}

fn place(slot: &Slot) -> String {
    format!("{PATH}/{}/{}", slot.name.to_text(), chaski_store::media::file_name::encoded(&slot.file_name))
}

fn thumbnails(dir: &Path) -> Option<Thumbnails> {
    let program = Program { path: env!("CARGO_BIN_EXE_thumbnail-test-worker").into(), arguments: Vec::new() };
    let plenty = thumbnail::Settings { picture_time: Duration::from_secs(3_600), ..Default::default() };
    Some(Thumbnails::start(&small(dir), program, plenty).unwrap())
}

/// Where thumbnails are kept: beside the folder of files.
fn small(dir: &Path) -> PathBuf {
    dir.with_extension("thumbnails")
}

/// Paths below the folder.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        for file in std::fs::read_dir(entry.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
    found.sort();
    found
}

struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    async fn read(tcp: &mut TcpStream, is_head: bool) -> Self {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if tcp.read_buf(&mut bytes).await.unwrap() == 0 {
                panic!("no answer: {}", String::from_utf8_lossy(&bytes));
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answered = Self { status, head, body: bytes[end..].to_vec() };
        let length: usize = match answered.header("content-length") {
            Some(length) if !is_head && status != 304 => length.parse().unwrap(),
            _ => 0,
        };
        while answered.body.len() < length && tcp.read_buf(&mut answered.body).await.unwrap() > 0 {}
        answered
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

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
    assert_eq!(post.status, 405);
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
        Rig::new(Settings { progress_time: Duration::from_millis(300), progress_bytes: 20, ..settings() });
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
    assert_eq!(send(50, 20), "201", "it takes more than three times as long as a window");
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
    let due = rig.index().ask(Query::Due { now_unix_ms: 0, limit: PAGE_MAX }).unwrap();
    assert!(matches!(due, Answer::Due(due) if due.doomed.is_empty()));
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

fn picture() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let dots = image::RgbImage::from_fn(300, 200, |x, y| image::Rgb([x as u8, y as u8, 7]));
    dots.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_small_picture_is_the_references_and_goes_with_it() {
    let settings = Settings { thumbnails_swept_after: Duration::from_millis(50), ..settings() };
    let rig = Rig::new(settings);
    let picture = picture();
    let paths = [1, 2].map(|number| {
        let (path, slot) = rig.slot(number, picture.len(), "image/png", "dots.png");
        assert_eq!(rig.put(&path, &picture).status, 201);
        place(&slot)
    });
    rig.until("equal contents are one", |rig| rig.files().len() == 1);
    for path in &paths {
        let got = rig.get(&format!("{path}?w=50"), "");
        assert_eq!((got.status, got.header("content-type")), (200, Some("image/jpeg")), "{}", got.head);
        let small = image::load_from_memory(&got.body).unwrap();
        assert_eq!((small.width(), small.height()), (64, 43));
        let etag = got.header("etag").unwrap().to_owned();
        assert_ne!(rig.get(path, "").header("etag"), Some(&*etag));
        let again = rig.get(&format!("{path}?w=64"), &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(rig.ask(&format!("HEAD {path}?w=64 HTTP/1.1\r\nHost: x\r\n\r\n"), b"").status, 200);
        assert_eq!(rig.get(&format!("{path}?w=x"), "").status, 400);
    }
    assert_eq!(rig.thumbnails_made(), 2, "or the second would learn that the first has looked");
    let of_none = paths[0].replace("0001/", "0009/");
    assert_eq!(rig.get(&format!("{of_none}?w=50"), "").status, 404);
    let text = rig.stored(3, b"<svg onload='alert(1)'/>");
    for _ in 0..2 {
        assert_eq!(rig.get(&format!("{text}?w=50"), "").status, 415);
    }
    assert_eq!(files(&small(rig.dir.path())).len(), 3, "what is no picture is remembered");

    let after = rig.time().unix_ms() + 40 * 86_400_000;
    rig.index().edit(Edit::Expire { now_unix_ms: after, limit: 9 }).unwrap();
    assert_eq!(rig.get(&format!("{}?w=50", paths[0]), "").status, 404);
    rig.until("thumbnails have gone", |rig| files(&small(rig.dir.path())).is_empty());
    std::fs::remove_dir_all(small(rig.dir.path())).unwrap();
}
