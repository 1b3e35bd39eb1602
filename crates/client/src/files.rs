//! Files over HTTPS: one request on a connection of its own, whose body may be a file and whose answer is read piece by piece.
//!
//! Called by `chaski-chat`, which uploads and downloads, and by `chaski doctor`, which looks what a proxy makes of it. Promises: a whole
//! file is never in memory; no redirect is followed; what does not move for [`PATIENCE`] is given up, and nothing for taking long.

use crate::http::Base;
pub use crate::http::HttpError;
use crate::trust::Trust;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// After so long without a byte a transfer is given up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a file in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// What is sent.
pub enum Content {
    /// Nothing.
    None,
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of a file from where it stands, which are counted as they go.
    File(File, u64, Arc<AtomicU64>),
}

/// An answer, whose body is still to be read.
#[derive(Debug)]
pub struct Reply {
    response: Response<Incoming>,
    url: String,
}

/// Sends a request to a URL. `trust` is for `https:`.
pub async fn request(
    method: &str,
    url: &str,
    trust: &Trust,
    headers: &[(&str, &str)],
    content: Content,
) -> Result<Reply, HttpError> {
    // What stands behind `#` is not the server's business.
    let url = url.split('#').next().unwrap_or(url);
    let base = Base::new(url, trust)?;
    let unusable = || HttpError::BadUrl { url: url.to_owned(), why: "it holds forbidden characters" };
    let (path, authority) = base.parts();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("chaski/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let sending = Sending::of(content);
    let moved = sending.moved.clone();
    let request = request.body(sending).map_err(|_| unusable())?;
    let late = |_| base.bad_answer("it took too long");
    let stream = timeout(PATIENCE, base.connect()).await.map_err(late)??;
    let broken = |error: hyper::Error| base.bad_answer(&reason(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with the answer, or when that is dropped.
    tokio::spawn(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    let mut before = 0;
    loop {
        match timeout(PATIENCE, &mut answer).await {
            Ok(response) => {
                return Ok(Reply { response: response.map_err(broken)?, url: url.to_owned() });
            }
            Err(_) => match moved.load(Ordering::Relaxed) {
                now if now > before => before = now,
                _ => return Err(base.bad_answer("nothing moved for a minute")),
            },
        }
    }
}

/// With what it comes of: hyper's own words say little.
fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Reply {
    /// The status.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The next piece of the body.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let bad = |why: &str| HttpError::BadAnswer { url: self.url.clone(), why: why.to_owned() };
            let frame = timeout(PATIENCE, self.response.body_mut().frame()).await;
            let frame = frame.map_err(|_| bad("nothing moved for a minute"))?;
            match frame.transpose().map_err(|error| bad(&reason(&error)))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// The body, at most so much of it.
    pub async fn bytes(&mut self, most: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece().await? {
            bytes.extend_from_slice(&piece[..piece.len().min(most - bytes.len())]);
            if bytes.len() == most {
                break;
            }
        }
        Ok(bytes)
    }
}

/// The body of a request.
struct Sending {
    source: Source,
    left: u64,
    moved: Arc<AtomicU64>,
}

enum Source {
    Bytes(Bytes),
    File(File),
}

impl Sending {
    fn of(content: Content) -> Self {
        match content {
            Content::None => Self { source: Source::Bytes(Bytes::new()), left: 0, moved: Arc::default() },
            Content::Bytes(bytes) => {
                let left = bytes.len() as u64;
                Self { source: Source::Bytes(bytes.into()), left, moved: Arc::default() }
            }
            Content::File(file, left, moved) => Self { source: Source::File(file), left, moved },
        }
    }

    fn piece(&mut self) -> io::Result<Bytes> {
        let most = (self.left).min(PIECE_BYTES as u64) as usize;
        let piece = match &mut self.source {
            Source::Bytes(bytes) => bytes.split_to(most),
            Source::File(file) => {
                let mut piece = vec![0; most];
                // Of a disk of this machine: quicker than handing it to another thread.
                file.read_exact(&mut piece)?;
                piece.into()
            }
        };
        self.left -= piece.len() as u64;
        self.moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(piece)
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        Poll::Ready((this.left > 0).then(|| this.piece().map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
