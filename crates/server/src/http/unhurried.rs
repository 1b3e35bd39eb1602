//! Requests that may take as long as they like while they move: files going up and down.
//!
//! The bound of a request's time does not hold for them, nor that of a connection's life while one is in progress; a connection (and by
//! itself a stream of HTTP/2) of which nothing moves for [`STILL_TIME`] is cut. Uploads are looked at more closely by whoever takes them in; here it is what a client does
//! not read, and of what the system sends by itself the stream says when it moves. They hold the connection's seat to the end of the answer, so whoever serves them bounds their number.

use super::seats::Seat;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

/// So long may nothing move.
pub const STILL_TIME: Duration = Duration::from_secs(60);

/// What moves on one connection, or on one stream of it.
#[derive(Debug, Default)]
pub(super) struct Moves {
    in_progress: AtomicUsize,
    moved: Arc<AtomicU64>,
    /// A stream's connection.
    connection: Option<Arc<Moves>>,
}

impl Moves {
    /// Those of a stream.
    pub(super) fn of(connection: &Arc<Moves>) -> Self {
        Self { connection: Some(connection.clone()), ..Self::default() }
    }

    /// Grows whenever something moves; so may whoever sees it move besides.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.moved.clone()
    }

    fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |moves| moves.connection.as_deref())
    }

    fn begin(&self) {
        self.each().for_each(|moves| _ = moves.in_progress.fetch_add(1, Relaxed));
        self.note();
    }

    fn end(&self) {
        self.each().for_each(|moves| _ = moves.in_progress.fetch_sub(1, Relaxed));
    }

    fn note(&self) {
        self.each().for_each(|moves| _ = moves.moved.fetch_add(1, Relaxed));
    }

    /// When nothing has been in progress for so long.
    pub(super) async fn idle(&self) {
        loop {
            let was = self.moved.load(Relaxed);
            tokio::time::sleep(STILL_TIME).await;
            if !self.any() && self.moved.load(Relaxed) == was {
                return;
            }
        }
    }

    /// Whether a request is in progress.
    pub(super) fn any(&self) -> bool {
        self.in_progress.load(Relaxed) > 0
    }

    /// When something is in progress and nothing has moved for so long.
    pub(super) async fn stand_still(&self) {
        loop {
            let (was, any) = (self.moved.load(Relaxed), self.any());
            tokio::time::sleep(STILL_TIME).await;
            if any && self.any() && self.moved.load(Relaxed) == was {
                return;
            }
        }
    }
}

/// A request in progress. Over when dropped.
pub(super) struct InProgress {
    moves: Arc<Moves>,
    seat: Arc<Seat>,
}

impl InProgress {
    /// It begins; the seat has been told.
    pub(super) fn begin(moves: &Arc<Moves>, seat: &Arc<Seat>) -> Self {
        moves.begin();
        Self { moves: moves.clone(), seat: seat.clone() }
    }

    pub(super) fn moved(&self) {
        self.moves.note();
    }

    /// What comes up, watched.
    pub(super) fn watch_request(&self, body: Body) -> Body {
        Body::new(Watched { body, moves: self.moves.clone(), in_progress: None })
    }

    /// What goes down, watched to its end.
    pub(super) fn watch_answer(self, body: Body) -> Body {
        self.moved();
        Body::new(Watched { body, moves: self.moves.clone(), in_progress: Some(self) })
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.moves.end();
        self.seat.end();
    }
}

/// A body of which each piece is noted.
struct Watched {
    body: Body,
    moves: Arc<Moves>,
    in_progress: Option<InProgress>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.moves.note(),
            Poll::Ready(_) => drop(self.in_progress.take()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::seats::Seats;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_stands_still_is_noticed_and_what_moves_is_not() {
        let (seats, moves) = (Seats::new(1), Arc::new(Moves::default()));
        let seat = Arc::new(seats.enter().expect("there is room").0);
        let still = |s| tokio::time::timeout(Duration::from_secs(s), moves.stand_still());
        assert!(still(600).await.is_err(), "nothing is in progress");
        assert!(seat.begin());
        let transfer = InProgress::begin(&moves, &seat);
        let moving = async {
            for _ in 0..20 {
                tokio::time::sleep(STILL_TIME / 2).await;
                transfer.moved();
            }
        };
        tokio::select! {
            _ = moves.stand_still() => panic!("it moves"),
            () = moving => {}
        }
        assert!(still(200).await.is_ok(), "it does not any more");
        assert!(seats.enter().is_none(), "its seat is its own");
        drop(transfer.watch_answer(Body::empty()));
        assert!(!moves.any() && seats.enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_judged_by_itself() {
        let (seats, connection) = (Seats::new(1), Arc::new(Moves::default()));
        let [one, other] = [(); 2].map(|()| Arc::new(Moves::of(&connection)));
        let seat = Arc::new(seats.enter().expect("there is room").0);
        assert!(seat.begin() && seat.begin(), "a connection has many streams");
        let (moving, still) = (InProgress::begin(&one, &seat), InProgress::begin(&other, &seat));
        let moves = async {
            loop {
                tokio::time::sleep(STILL_TIME / 2).await;
                moving.moved();
            }
        };
        tokio::select! {
            () = connection.stand_still() => panic!("something moves"),
            () = one.stand_still() => panic!("it moves"),
            () = moves => unreachable!(),
            () = other.stand_still() => {}
        }
        drop(still);
        assert!(connection.any() && seats.enter().is_none(), "the other is in progress");
        drop(moving);
        assert!(!connection.any());
        tokio::time::timeout(2 * STILL_TIME, connection.idle()).await.expect("nothing is in progress");
        assert!(seats.enter().is_some(), "a seat without a request is given up");
    }
}
