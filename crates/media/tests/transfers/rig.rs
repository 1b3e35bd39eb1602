//! A service with files and thumbnails of its own, and a client of it.

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use chaski_media::objects::folder::Folder;
use chaski_media::objects::stores::Stores;
use chaski_media::staging::Staging;
use chaski_media::thumbnail::{self, Program, Thumbnails};
use chaski_media::{Media, PATH, Settings};
use chaski_sendfile::Stream;
use chaski_store::media::slot::{Slot, SlotKeys};
use chaski_store::media::{Index, Name, Purpose};
use chaski_store::memory::MemoryEngine;
use chaski_store::records::Put;
use chaski_store::{AccountId, Engine, Table, Time};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A service on a port of its own.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) engine: MemoryEngine,
    pub(crate) media: Option<Media>,
    /// Where files are sent by the system, as on the plain listeners of a server.
    pub(crate) addr: SocketAddr,
    /// Where they are read and written, as on those with TLS.
    pub(crate) copying: SocketAddr,
    pub(crate) runtime: Runtime,
}

pub(crate) fn owner() -> AccountId {
    AccountId::phone(15_551_230_001).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings { sweep_every: Duration::from_millis(20), reserve_bytes: 0, ..Settings::default() }
}

/// A store in which the owner has an account.
pub(crate) fn engine() -> MemoryEngine {
    let engine = MemoryEngine::new();
    let put = Put { table: Table::ACCOUNTS, key: owner().record_key(), value: Some(b"{}".to_vec()) };
    engine.records().put_all(vec![put]).unwrap();
    engine
}

impl Rig {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::on(tempfile::tempdir().unwrap(), engine(), settings)
    }

    pub(crate) fn on(dir: tempfile::TempDir, engine: MemoryEngine, settings: Settings) -> Self {
        let stores = Stores::from(Arc::new(Folder::open(dir.path()).unwrap()));
        Self::with(dir, engine, settings, stores)
    }

    /// With these backends. The first is in the folder.
    pub(crate) fn with(
        dir: tempfile::TempDir,
        engine: MemoryEngine,
        settings: Settings,
        stores: Stores,
    ) -> Self {
        let (index, small) = (engine.media(), thumbnails(dir.path()));
        Self::over((dir, engine), settings, stores, index, small)
    }

    /// With this index before the engine's.
    pub(crate) fn over(
        (dir, engine): (tempfile::TempDir, MemoryEngine),
        settings: Settings,
        stores: Stores,
        index: Arc<dyn Index>,
        small: Option<Thumbnails>,
    ) -> Self {
        let (secrets, time) = (engine.secrets(), engine.time());
        let stores = (stores, Staging::open(&unfinished(dir.path())).unwrap());
        let media = Media::start(settings, index, stores, secrets, time, small).unwrap();
        let runtime = Runtime::new().unwrap();
        let bind = || {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let addr = listener.local_addr().unwrap();
            (listener, addr)
        };
        let ((listener, addr), (other, copying)) = (bind(), bind());
        runtime.spawn(serve(listener, media.routes(), true));
        runtime.spawn(serve(other, media.routes(), false));
        Self { dir, engine, media: Some(media), addr, copying, runtime }
    }

    /// Starts again on what is there.
    pub(crate) fn restart(self, settings: Settings) -> Self {
        let (dir, engine) = self.stopped();
        Self::on(dir, engine, settings)
    }

    /// Stops, and says what is left.
    pub(crate) fn stopped(mut self) -> (tempfile::TempDir, MemoryEngine) {
        if let Some(media) = self.media.take() {
            media.stop(Duration::from_secs(5));
        }
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        (self.dir, self.engine)
    }

    pub(crate) fn time(&self) -> Arc<Time> {
        self.engine.time()
    }

    pub(crate) fn index(&self) -> Arc<dyn Index> {
        self.engine.media()
    }

    /// A slot, and the path with its ticket.
    pub(crate) fn slot(
        &self,
        number: u128,
        size: usize,
        media_type: &str,
        file_name: &str,
    ) -> (String, Slot) {
        let slot = Slot {
            name: Name(number),
            owner: owner(),
            registered_unix_ms: 0,
            size: size as u64,
            media_type: media_type.into(),
            file_name: file_name.into(),
            purpose: Purpose::Message,
            until_unix_ms: self.time().unix_ms() + 600_000,
            sha256: None,
        };
        (self.path(&slot), slot)
    }

    pub(crate) fn path(&self, slot: &Slot) -> String {
        let ticket = SlotKeys::new(self.engine.secrets()).seal(slot);
        format!("{}?slot={ticket}", place(slot))
    }

    /// Uploads something of another type.
    pub(crate) fn stored_as(&self, number: u128, bytes: &[u8], media_type: &str) -> String {
        let (path, slot) = self.slot(number, bytes.len(), media_type, "file.bin");
        assert_eq!(self.put(&path, bytes).status, 201);
        place(&slot)
    }

    /// Uploads something and says where it is.
    pub(crate) fn stored(&self, number: u128, bytes: &[u8]) -> String {
        let (path, slot) = self.slot(number, bytes.len(), "image/jpeg", "photo.jpg");
        assert_eq!(self.put(&path, bytes).status, 201);
        place(&slot)
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> Answered {
        self.ask(&format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len()), bytes)
    }

    pub(crate) fn get(&self, path: &str, headers: &str) -> Answered {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"), b"")
    }

    pub(crate) fn ask(&self, head: &str, body: &[u8]) -> Answered {
        self.runtime.block_on(async {
            let mut tcp = TcpStream::connect(self.addr).await.unwrap();
            tcp.write_all(head.as_bytes()).await.unwrap();
            // Who refuses may not read all of it.
            let _ = tcp.write_all(body).await;
            let is_head = head.starts_with("HEAD");
            tokio::time::timeout(Duration::from_secs(20), Answered::read(&mut tcp, is_head)).await.unwrap()
        })
    }

    pub(crate) fn files(&self) -> Vec<String> {
        files(self.dir.path())
    }

    pub(crate) fn thumbnails_made(&self) -> i64 {
        self.counted("chaski_thumbnails_made_total")
    }

    /// What a metric says.
    pub(crate) fn counted(&self, metric: &str) -> i64 {
        let mut registry = chaski_telemetry::Registry::default();
        self.media.as_ref().unwrap().metrics().into_iter().for_each(|source| registry.register(source));
        let text = registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("did not come: {what}; {:?}", self.files());
    }
}

/// As the listener of a server does.
async fn serve(listener: TcpListener, routes: Router, by_system: bool) {
    while let Ok((tcp, peer)) = listener.accept().await {
        let stream = Stream::new(tcp, Arc::default());
        let lane = by_system.then(|| stream.lane());
        let app = routes.clone().layer(middleware::from_fn(move |mut request: Request, next: Next| {
            request.extensions_mut().insert(ConnectInfo(peer));
            if let Some(lane) = &lane {
                request.extensions_mut().insert(lane.clone());
            }
            next.run(request)
        }));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.max_buf_size(16 << 10);
        tokio::spawn(async move {
            let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await;
        });
    }
}

pub(crate) fn place(slot: &Slot) -> String {
    format!("{PATH}/{}/{}", slot.name.to_text(), chaski_store::media::file_name::encoded(&slot.file_name))
}

pub(crate) fn thumbnails(dir: &Path) -> Option<Thumbnails> {
    let program = Program { path: env!("CARGO_BIN_EXE_thumbnail-test-worker").into(), arguments: Vec::new() };
    let plenty = thumbnail::Settings { picture_time: Duration::from_secs(3_600), ..Default::default() };
    Some(Thumbnails::start(&small(dir), program, plenty).unwrap())
}

/// Where unfinished uploads are kept.
pub(crate) fn unfinished(dir: &Path) -> PathBuf {
    dir.with_extension("unfinished")
}

/// Where thumbnails are kept: beside the folder of files.
pub(crate) fn small(dir: &Path) -> PathBuf {
    dir.with_extension("thumbnails")
}

/// Paths below the folder.
pub(crate) fn files(root: &Path) -> Vec<String> {
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

pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) async fn read(tcp: &mut TcpStream, is_head: bool) -> Self {
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

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
