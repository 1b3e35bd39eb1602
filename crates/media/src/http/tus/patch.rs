//! Bytes of a resumable upload that come: written piece by piece where the upload is, kept now and then and at the end.
//!
//! However it ends, what has come stays: the client goes away, it is too slow, a newer request wants the slot, the server stops. But with a
//! checksum, of which a part says nothing: then all or nothing of a request counts.

use super::super::places::Using;
use super::super::progress::{Progress, Stuck};
use super::super::put::{CUT, FULL, OUSTED, SLOW, TOO_LONG, blocking, failed};
use super::super::room::Promised;
use super::super::{TRANSFER_BYTES, Trouble};
use super::said::{Checksum, Summing};
use super::{Asked, whole};
use crate::Shared;
use crate::staging::{Unfinished, Writer};
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is lost at most when the server is killed, of bytes that were not answered for.
const KEEP_BYTES: u64 = 4 << 20;
/// And of a slow upload, by time.
const KEEP_TIME: Duration = Duration::from_secs(10);

/// tus: "460 Checksum Mismatch".
const MISMATCH: Trouble =
    Trouble::new(CHECKSUM_MISMATCH, "What has come does not have this checksum (Upload-Checksum).");
const CHECKSUM_MISMATCH: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Room for what is unfinished.
pub(super) fn room(shared: &Shared, bytes: u64) -> Result<Promised, Trouble> {
    let there = shared.staging.room_bytes().map_err(|error| failed(&error))?;
    shared.room.promise(there, bytes).ok_or(FULL)
}

/// Takes what comes; how far it is then. Has stored the file if that is its end.
pub(super) async fn serve(
    asked: &Asked<'_>,
    using: &Using,
    unfinished: Unfinished,
    body: &mut Body,
) -> Result<u64, Trouble> {
    let (shared, name) = (asked.shared, asked.slot.name);
    let left = unfinished.size - unfinished.offset;
    let coming = asked.said.body.unwrap_or(left);
    if coming > left {
        return Err(TOO_LONG);
    }
    let of = shared.clone();
    let begun = blocking(shared, move || {
        let promised = room(&of, coming)?;
        let writer = of.staging.writer(name).map_err(|error| failed(&error))?;
        Ok((writer, promised))
    });
    let (writer, _promised) = begun.await?;
    shared.metrics.transfers.add(1);
    if unfinished.offset > 0 {
        shared.metrics.unfinished_resumed_total.inc();
    }
    let sum = asked.said.checksum.as_ref().map(Checksum::summing);
    let bytes = Vec::with_capacity(TRANSFER_BYTES.min(coming as usize));
    let done = take(asked, using, Piece { writer, sum, bytes }, left, body).await;
    shared.metrics.transfers.add(-1);
    shared.note_unfinished();
    let offset = done.inspect_err(|trouble| {
        if [CUT, SLOW, OUSTED].contains(trouble) {
            shared.metrics.uploads_cut_total.inc();
        }
        if *trouble == MISMATCH {
            shared.metrics.checksums_failed_total.inc();
        }
    })?;
    if offset == unfinished.size {
        whole::store(shared, &asked.slot).await?;
    }
    Ok(offset)
}

/// One buffer, as in [`super::super::put`], and where it goes.
struct Piece {
    writer: Writer,
    sum: Option<Summing>,
    bytes: Vec<u8>,
}

impl Piece {
    fn write(&mut self) -> io::Result<()> {
        if let Some(sum) = &mut self.sum {
            sum.add(&self.bytes);
        }
        self.writer.write(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

/// All that comes; how far the upload is then.
async fn take(
    asked: &Asked<'_>,
    using: &Using,
    piece: Piece,
    left: u64,
    body: &mut Body,
) -> Result<u64, Trouble> {
    let (ended, piece) = receive(asked, using, piece, left, body).await?;
    if piece.sum.is_some() {
        ended?;
    }
    let checksum = asked.said.checksum.clone();
    let offset = blocking(asked.shared, move || {
        let Piece { mut writer, sum, .. } = piece;
        if sum.zip(checksum).is_some_and(|(sum, said)| !sum.is(&said)) {
            return Err(MISMATCH);
        }
        writer.keep().map_err(|error| failed(&error))?;
        Ok(writer.kept())
    })
    .await?;
    ended.map(|()| offset)
}

/// Writes what comes until it ends, and says how it has. The other trouble is the disk's.
async fn receive(
    asked: &Asked<'_>,
    using: &Using,
    mut piece: Piece,
    mut left: u64,
    body: &mut Body,
) -> Result<(Result<(), Trouble>, Piece), Trouble> {
    let shared = asked.shared;
    let mut progress = Progress::new(shared.settings.progress_time, shared.settings.progress_bytes);
    let mut kept_at = Instant::now();
    let ended = loop {
        let frame = tokio::select! {
            frame = progress.wait(body.frame()) => frame,
            () = using.ousted() => break Err(OUSTED),
        };
        let frame = match frame {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) => break Err(CUT),
            Err(Stuck) => break Err(SLOW),
        };
        let Ok(mut came) = frame.into_data() else { continue };
        match left.checked_sub(came.len() as u64) {
            Some(rest) => left = rest,
            None => break Err(TOO_LONG),
        }
        progress.moved(came.len() as u64);
        shared.metrics.received_bytes_total.add(came.len() as u64);
        while !came.is_empty() {
            let fits = came.len().min(TRANSFER_BYTES - piece.bytes.len());
            piece.bytes.extend_from_slice(&came.split_to(fits));
            let is_time = piece.sum.is_none()
                && (kept_at.elapsed() >= KEEP_TIME || piece.writer.pending() >= KEEP_BYTES);
            if is_time || piece.bytes.len() == TRANSFER_BYTES {
                let bytes = piece.bytes.len();
                piece = write(shared, piece, is_time).await?;
                asked.share.clone().take(bytes).await;
                progress.excuse();
            }
            if is_time {
                kept_at = Instant::now();
            }
        }
    };
    Ok((ended, write(shared, piece, false).await?))
}

async fn write(shared: &Arc<Shared>, mut piece: Piece, keeps: bool) -> Result<Piece, Trouble> {
    blocking(shared, move || {
        let written = piece.write().and_then(|()| if keeps { piece.writer.keep() } else { Ok(()) });
        written.map_err(|error| failed(&error))?;
        Ok(piece)
    })
    .await
}
