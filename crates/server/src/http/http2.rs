//! HTTP/2 (RFC 9113), for clients that ask for it by ALPN: the same routes, with bounds for what only it has.
//!
//! One connection carries [`STREAMS`] requests at once. What comes up and is not read yet has a window each, so that a transfer has as much memory as
//! on a connection of its own; resets without end close the connection (`RST_STREAM` floods, RFC 9113 §10.5), headers have the bound of HTTP/1.1, and a
//! stream that stands still is reset without harm to its neighbours. Extended CONNECT (RFC 8441) is not announced: browsers then open
//! WebSockets over HTTP/1.1, on a connection of their own.
//!
//! Called by [`super::Connection`]. Bounds: here. Time: a stream [`super::STILL_TIME`] without movement, a connection as long without a request.

use super::unhurried::Moves;
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use std::sync::Arc;
use tokio::sync::watch;

/// The protocol's name in ALPN.
pub(super) const ALPN: &[u8] = b"h2";
/// Most requests of one connection at once.
pub(super) const STREAMS: u32 = 32;
/// The most of a request's body that may be received before it is read.
const WINDOW_BYTES: u32 = 64 << 10;
/// The most of an answer that may wait to be sent before more of it is asked for.
const SEND_BYTES: usize = 16 << 10;
/// Most stream resets that the client may have caused and that are not handled yet.
const RESETS: usize = 32;

/// The builder, whose streams run on `streams`.
pub(super) fn builder(streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        // So that a stream that is read slowly takes nothing from the others.
        .initial_connection_window_size(STREAMS * WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES)
        .max_header_list_size(super::HEADER_BYTES as u32)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS);
    builder
}

/// Sets `Host` to the authority of the request (RFC 9113 §8.3.1), as in HTTP/1.1, so that the routes need not know of versions. A
/// `Host` header that the client has sent is replaced.
pub(super) fn name_host(request: &mut Request) {
    let authority = request.uri().authority().filter(|_| request.version() == Version::HTTP_2);
    if let Some(host) = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

tokio::task_local! {
    /// Notes the movement on the stream of this task.
    static STREAM: Arc<Moves>;
}

/// The movement on the stream of the caller's task, if the task serves one.
pub(super) fn stream() -> Option<Arc<Moves>> {
    STREAM.try_with(Arc::clone).ok()
}

/// Runs a connection's streams, each a task that ends when it stands still or the connection does.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) moves: Arc<Moves>,
    /// Closed with the connection.
    pub(super) open: watch::Receiver<()>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let moves = Arc::new(Moves::of(&self.moves));
        let mut open = self.open.clone();
        let watched = STREAM.scope(moves.clone(), async move {
            tokio::select! {
                () = stream => {}
                // Dropped, it is reset.
                () = moves.stand_still() => {}
                _ = open.changed() => {}
            }
        });
        tokio::spawn(watched);
    }
}

#[cfg(test)]
mod tests {
    use super::super::STILL_TIME;
    use super::super::seats::Seats;
    use super::super::unhurried::InProgress;
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stands_still_is_dropped_and_its_neighbour_is_not() {
        let seat = Arc::new(Seats::new(1).enter().expect("there is room").0);
        let (close, open) = watch::channel(());
        let streams = Streams { moves: Arc::default(), open };
        let begin = |pause: Duration| {
            let (seat, dropped) = (seat.clone(), Arc::new(()));
            let held = dropped.clone();
            streams.execute(async move {
                let _held = held;
                let in_progress = InProgress::begin(&stream().expect("it is one"), &seat);
                loop {
                    tokio::time::sleep(pause).await;
                    in_progress.moved();
                }
            });
            move || Arc::strong_count(&dropped) == 1
        };
        let (is_moving_gone, is_still_gone) = (begin(STILL_TIME / 2), begin(10 * STILL_TIME));
        tokio::time::sleep(3 * STILL_TIME).await;
        assert!(is_still_gone() && !is_moving_gone());
        assert!(streams.moves.any());
        drop(close);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(is_moving_gone() && !streams.moves.any(), "it ends with its connection");
    }
}
