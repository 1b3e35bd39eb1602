//! What sending a file costs over a plain connection: as it is done here, by reading and writing in one thread, and by `sendfile`.
//!
//!     cargo run --profile quick -p chaski-media --example send_cost
//!
//! Over loopback, from the page cache, to a reader that throws it away; the reader's own time is not counted. Each way three times, in turns.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails is to stop")]

use chaski_media::objects::folder::Folder;
use chaski_media::staging::Staging;
use chaski_media::{Media, PATH, Settings};
use chaski_store::media::slot::{Slot, SlotKeys};
use chaski_store::media::{Name, Purpose, file_name};
use chaski_store::memory::MemoryEngine;
use chaski_store::records::Put;
use chaski_store::{AccountId, Engine, Table};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SIZE: usize = 256 << 20;
const TIMES: usize = 8;
const PIECE: usize = 48 << 10;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path());
    let file = dir.path().join("file");
    std::fs::write(&file, vec![7; SIZE]).unwrap();
    let ways: [(&str, &dyn Fn() -> Duration); 3] = [
        ("as it is", &|| cost_of(service.addr, &service.request)),
        ("read and write", &|| cost_of(by_hand(&file, copy), "")),
        ("sendfile", &|| cost_of(by_hand(&file, send_file), "")),
    ];
    for _ in 0..3 {
        for (name, way) in &ways {
            let gigabytes = (SIZE * TIMES) as f64 / 1e9;
            println!("{name:>16}: {:4.0} ms of processor a GB", way().as_secs_f64() * 1e3 / gigabytes);
        }
    }
}

/// The time of all other threads while this one reads the file several times.
fn cost_of(addr: SocketAddr, request: &str) -> Duration {
    let own = || on_processor(Path::new("/proc/thread-self"));
    let all = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks.map(|task| on_processor(&task.path())).sum::<Duration>()
    };
    let (all_before, own_before) = (all(), own());
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..TIMES {
        let mut tcp = TcpStream::connect(addr).unwrap();
        tcp.write_all(request.as_bytes()).unwrap();
        let mut left = SIZE;
        while left > 0 {
            let count = tcp.read(&mut buffer).unwrap();
            assert!(count > 0, "it ends early");
            left = left.saturating_sub(count);
        }
    }
    all() - all_before - (own() - own_before)
}

fn on_processor(task: &Path) -> Duration {
    let said = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    Duration::from_nanos(said.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// Sends the file to whoever connects, that often.
fn by_hand(file: &Path, send: fn(&File, &mut TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, file) = (listener.local_addr().unwrap(), File::open(file).unwrap());
    std::thread::spawn(move || {
        for _ in 0..TIMES {
            send(&file, &mut listener.accept().unwrap().0);
        }
        // Its time is read from outside.
        loop {
            std::thread::park();
        }
    });
    addr
}

fn copy(file: &File, tcp: &mut TcpStream) {
    let mut piece = vec![0; PIECE];
    for at in (0..SIZE).step_by(PIECE) {
        let count = file.read_at(&mut piece, at as u64).unwrap();
        tcp.write_all(&piece[..count]).unwrap();
    }
}

fn send_file(file: &File, tcp: &mut TcpStream) {
    let mut at = 0;
    while (at as usize) < SIZE {
        rustix::fs::sendfile(&*tcp, file, Some(&mut at), SIZE).unwrap();
    }
}

struct Service {
    addr: SocketAddr,
    request: String,
    _runtime: tokio::runtime::Runtime,
    _media: Media,
}

impl Service {
    /// With the file in it.
    fn start(dir: &Path) -> Self {
        let engine = MemoryEngine::new();
        let owner = AccountId::phone(15_551_230_001).unwrap();
        let put = Put { table: Table::ACCOUNTS, key: owner.record_key(), value: Some(b"{}".to_vec()) };
        engine.records().put_all(vec![put]).unwrap();
        let folder = Arc::new(Folder::open(&dir.join("media")).unwrap());
        let stores = (folder, Staging::open(&dir.join("unfinished")).unwrap());
        let settings = Settings { reserve_bytes: 0, ..Settings::default() };
        let media =
            Media::start(settings, engine.media(), stores, engine.secrets(), engine.time(), None).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let app = media.routes().into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async move { axum::serve(listener, app).await });
        let slot = Slot {
            name: Name(1),
            owner,
            registered_unix_ms: 0,
            size: SIZE as u64,
            media_type: "video/mp4".into(),
            file_name: "film.mp4".into(),
            purpose: Purpose::Message,
            until_unix_ms: engine.time().unix_ms() + 600_000,
            sha256: None,
        };
        let ticket = SlotKeys::new(engine.secrets()).seal(&slot);
        let path = format!("{PATH}/{}/{}", slot.name.to_text(), file_name::encoded(&slot.file_name));
        let mut tcp = TcpStream::connect(addr).unwrap();
        let head = format!("PUT {path}?slot={ticket} HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n");
        tcp.write_all(head.as_bytes()).unwrap();
        tcp.write_all(&vec![7; SIZE]).unwrap();
        let mut status = [0; 12];
        tcp.read_exact(&mut status).unwrap();
        assert_eq!(&status[9..], b"201");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Self { addr, request, _runtime: runtime, _media: media }
    }
}
