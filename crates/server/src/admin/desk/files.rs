//! Requests of an operator about files: whether all files are there, how many there are, which are to be removed or blocked.
//! Carried out by the code that serves files.

use super::{Desk, DeskError};
use crate::admin::protocol::{BlockedView, FileView, MediaStatView, MediaView, Reply, Request};
use std::io::{self, ErrorKind};

/// The code that serves files. All calls block. Times are age times; errors are texts for people.
pub trait Files: Send + Sync {
    /// Checks whether the index of files and the files agree, one step at a time. `from`: where this step begins.
    fn check(&self, from: Option<String>) -> io::Result<MediaView>;

    /// Counts the files, one step at a time. `from`: where this step begins.
    fn stat(&self, from: Option<String>) -> io::Result<MediaStatView>;

    /// Removes the file behind a URL. `NotFound`: there is none.
    fn remove(&self, url: &str) -> io::Result<FileView>;

    /// Blocks a content, given by its hash or a URL that leads to it. Returns its hash, and how many references led to it.
    fn block(&self, what: &str, reason: &str) -> io::Result<(String, u64)>;

    /// Unblocks a content.
    fn unblock(&self, sha256: &str) -> io::Result<()>;

    /// A page of the blocked contents, and where the next page begins.
    fn blocked(&self, after: Option<String>) -> io::Result<(Vec<BlockedView>, Option<String>)>;
}

impl Desk {
    /// Requests about files.
    pub(super) fn files(&self, request: Request) -> Result<Reply, DeskError> {
        let files = self.files.as_ref().ok_or(DeskError::NoMedia)?;
        let now = self.time.now();
        let reply = match request {
            Request::MediaCheck { from } => Reply::Media(Box::new(files.check(from)?)),
            Request::MediaStat { from } => {
                let mut view = files.stat(from)?;
                if let Some(rest) = &mut view.rest {
                    let ends = [&mut rest.next_expiry_unix_ms, &mut rest.unfinished_until_unix_ms];
                    ends.into_iter().flatten().for_each(|at| *at = now.shown(*at));
                }
                Reply::MediaStat(Box::new(view))
            }
            Request::MediaRemove { url } => {
                let mut view = files.remove(&url)?;
                view.created_unix_ms = now.shown(view.created_unix_ms);
                Reply::MediaRemoved(Box::new(view))
            }
            Request::MediaBlock { what, reason } => {
                let (sha256, references) = files.block(&what, &reason)?;
                Reply::MediaBlocked { sha256, references }
            }
            Request::MediaUnblock { sha256 } => {
                files.unblock(&sha256)?;
                Reply::MediaUnblocked
            }
            Request::MediaBlocks { after } => {
                let (mut blocked, next) = files.blocked(after)?;
                blocked.iter_mut().for_each(|it| it.since_unix_ms = now.shown(it.since_unix_ms));
                Reply::MediaBlocks { blocked, next }
            }
            _ => return Err(DeskError::NoMedia),
        };
        Ok(reply)
    }
}

impl From<io::Error> for DeskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NoFile(error.to_string()),
            ErrorKind::InvalidInput => Self::NotUnderstood(error.to_string()),
            _ => Self::Media(error.to_string()),
        }
    }
}
