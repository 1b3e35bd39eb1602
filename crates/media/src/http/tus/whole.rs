//! A resumable upload of which all has come goes to the backend, as a whole.
//!
//! It is read from where it was kept, so that what is hashed is what is stored, and written as an upload by `PUT` is; what was kept goes when
//! that is done. A kill in between leaves it where it is, and whoever asks for it next does it again.

use super::super::put::{self, BLOCKED, NOBODY, OTHER, TAKEN, blocking, failed};
use super::super::{TRANSFER_BYTES, Trouble};
use crate::Shared;
use crate::objects::Incoming;
use chaski_store::media::ObjectId;
use chaski_store::media::slot::Slot;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What is copied before another's turn on the threads that wait for disks.
const TURN_BYTES: u64 = 1 << 20;

/// Stores it.
pub(super) async fn store(shared: &Arc<Shared>, slot: &Slot) -> Result<(), Trouble> {
    let stored = try_store(shared, slot).await;
    // These do not change: it has to begin anew, or can't.
    if matches!(stored, Err(OTHER | TAKEN | NOBODY | BLOCKED)) {
        let (of, name) = (shared.clone(), slot.name);
        blocking(shared, move || of.staging.end(name).map_err(|error| failed(&error))).await?;
    }
    shared.note_unfinished();
    stored
}

async fn try_store(shared: &Arc<Shared>, slot: &Slot) -> Result<(), Trouble> {
    let (of, name, size) = (shared.clone(), slot.name, slot.size);
    let object = ObjectId(rand::random());
    let place = shared.stores.place_for(&slot.media_type, size);
    let to = place.clone();
    let begun = blocking(shared, move || {
        let promised = put::room(&of, &to, size)?;
        let from = of.staging.reader(name).map_err(|error| failed(&error))?;
        let to =
            of.stores.at(&to).and_then(|objects| objects.begin(object)).map_err(|error| failed(&error))?;
        Ok((Copying { from, to, hasher: Sha256::new(), done: 0, size }, promised))
    });
    let (mut copying, _promised) = begun.await?;
    while copying.done < size {
        copying = blocking(shared, move || {
            copying.turn().map_err(|error| failed(&error))?;
            Ok(copying)
        })
        .await?;
    }
    let sha256 = copying.hasher.finalize().into();
    if slot.sha256.is_some_and(|announced| announced != sha256) {
        return Err(OTHER);
    }
    let (of, reference) = (shared.clone(), put::reference(shared, slot, sha256, (object, place)));
    blocking(shared, move || copying.to.finish().map_err(|error| failed(&error))).await?;
    put::bring(shared, &reference).await?;
    let registered_unix_ms = slot.registered_unix_ms;
    blocking(shared, move || put::store(&of, reference, registered_unix_ms)).await
}

struct Copying {
    from: File,
    to: Box<dyn Incoming>,
    hasher: Sha256,
    done: u64,
    size: u64,
}

impl Copying {
    fn turn(&mut self) -> io::Result<()> {
        let end = self.size.min(self.done.saturating_add(TURN_BYTES));
        let mut piece = vec![0; TRANSFER_BYTES];
        while self.done < end {
            let fits = piece.len().min((end - self.done) as usize);
            self.from.read_exact_at(&mut piece[..fits], self.done)?;
            self.hasher.update(&piece[..fits]);
            self.to.write(&piece[..fits])?;
            self.done += fits as u64;
        }
        Ok(())
    }
}
