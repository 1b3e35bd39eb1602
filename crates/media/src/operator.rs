//! What the operator asks of files: how many there are, that one is not there any more, that a content is not to be here.
//!
//! Called by `chaski ctl media` through the admin socket, on a thread that may wait; the work is done on this crate's runtime. What has many
//! rows comes in steps or pages. Promises: what [`Operator::remove`] and [`Operator::block`] have returned for is served to nobody who asks from then on
//! (who is in the middle of a download has the rest of it); its files leave the disk with the caretaker's look, which begins at once.

use crate::Shared;
use crate::check::{Held, STEP_TIME};
use crate::thumbnail::Object;
use chaski_store::AccountId;
use chaski_store::media::{
    Answer, Blocked, Content, Digest, Edit, Name, ObjectId, Query, Reference, Refused, Standing,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longer than any slot is open.
const SLOT_OPEN_MS: u64 = 3_600_000;
/// Longest reason.
pub const REASON_CHARS_MAX: usize = 500;
/// Contents that are blocked on one page: with their reasons they fit into an answer.
const BLOCKED_PAGE: usize = 256;
/// Rows of one page of a count.
const ROWS_MAX: usize = chaski_store::media::PAGE_MAX;

/// What one step of a count has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// What lies in each backend, by its name.
    pub places: BTreeMap<String, Held>,
    /// All else, said by the last step.
    pub rest: Option<Rest>,
    /// Where the next step begins; `None`: that was the last.
    pub next: Option<String>,
}

/// What there is besides what lies in backends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rest {
    /// What the index has besides references and objects.
    pub standing: Standing,
    /// Uploads that are not finished.
    pub unfinished: u64,
    /// How many bytes of them have come.
    pub unfinished_bytes: u64,
    /// When the time of the first of them is over.
    pub unfinished_until_unix_ms: Option<u64>,
    /// Small pictures that are kept, and what is known to be no picture.
    pub thumbnails: u64,
    /// And their bytes, in whole blocks.
    pub thumbnail_bytes: u64,
}

/// A file that was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub content: Content,
    /// Who had uploaded or forwarded it.
    pub owner: AccountId,
    /// As what.
    pub media_type: Box<str>,
    /// When, in age time.
    pub created_unix_ms: u64,
}

/// The operator's desk for files.
#[derive(Clone)]
pub struct Operator {
    shared: Arc<Shared>,
}

impl Operator {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (of, (reply, answer)) = (self.shared.clone(), std::sync::mpsc::sync_channel(1));
        // Whoever asked may have stopped waiting.
        self.shared.runtime.spawn_blocking(move || drop(reply.send(work(&of))));
        answer.recv().map_err(io::Error::other)?
    }

    /// Counts from there on, for about [`STEP_TIME`].
    pub fn stat(&self, from: Option<String>) -> io::Result<Stat> {
        self.run(move |shared| stat(shared, from.as_deref(), STEP_TIME))
    }

    /// The file behind a URL is not there any more, nor its small pictures; the content neither, if nothing else refers to it.
    pub fn remove(&self, url: &str) -> io::Result<Removed> {
        let name = name_in(url).ok_or_else(no_url)?;
        self.run(move |shared| remove(shared, name))
    }

    /// A content is not to be here, by a URL that leads to it or by its SHA-256. Says its hash, and how many references led to it.
    pub fn block(&self, what: &str, reason: &str) -> io::Result<(String, u64)> {
        if reason.chars().count() > REASON_CHARS_MAX {
            let text = format!("a reason has at most {REASON_CHARS_MAX} characters");
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let (digest, name) = (digest(what), name_in(what));
        let reason = reason.into();
        self.run(move |shared| {
            let sha256 = match (digest, name) {
                (Some(sha256), _) => sha256,
                (None, Some(name)) => find(shared, name)?.content.sha256,
                (None, None) => return Err(no_url()),
            };
            Ok((hex(&sha256), block(shared, sha256, reason)?))
        })
    }

    /// A content may be here again.
    pub fn unblock(&self, sha256: &str) -> io::Result<()> {
        let sha256 = digest(sha256).ok_or_else(no_digest)?;
        self.run(move |shared| {
            let gone = done(shared.index.edit(Edit::Unblock { sha256 }).map_err(io::Error::other)?)?;
            note_blocked(shared);
            if gone > 0 {
                return Ok(());
            }
            Err(io::Error::new(ErrorKind::NotFound, "this content is not blocked"))
        })
    }

    /// A page of what is blocked, and where the next one begins.
    pub fn blocked(&self, after: Option<String>) -> io::Result<(Vec<Blocked>, Option<String>)> {
        let after = after.map(|after| digest(&after).ok_or_else(no_digest)).transpose()?;
        self.run(move |shared| {
            let limit = BLOCKED_PAGE;
            match shared.index.ask(Query::Blocked { after, limit }).map_err(io::Error::other)? {
                Answer::Blocked(page) => {
                    let next = page.last().filter(|_| page.len() == limit).map(|last| hex(&last.sha256));
                    Ok((page, next))
                }
                _ => Err(odd()),
            }
        })
    }
}

fn stat(shared: &Shared, from: Option<&str>, within: Duration) -> io::Result<Stat> {
    let began = Instant::now();
    let strange = || io::Error::new(ErrorKind::InvalidInput, "that is no step of a count");
    let read = |from: &str| u128::from_str_radix(from, 16).map(ObjectId).map_err(|_| strange());
    let (mut after, mut stat) = (from.map(read).transpose()?, Stat::default());
    loop {
        let query = Query::Lying { after, limit: ROWS_MAX };
        let Answer::Lying(page) = shared.index.ask(query).map_err(io::Error::other)? else {
            return Err(odd());
        };
        for row in &page {
            let held = stat.places.entry(row.place.to_string()).or_default();
            held.objects += 1;
            held.references += row.uses;
            held.bytes += row.size;
        }
        let Some(last) = page.last() else { break };
        after = Some(last.object);
        if began.elapsed() >= within {
            stat.next = Some(format!("{:032x}", last.object.0));
            return Ok(stat);
        }
    }
    stat.rest = Some(rest(shared)?);
    Ok(stat)
}

fn rest(shared: &Shared) -> io::Result<Rest> {
    let (unfinished, unfinished_bytes) = shared.staging.all();
    let (thumbnails, thumbnail_bytes) = match &shared.thumbnails {
        Some(thumbnails) => thumbnails.kept()?,
        None => (0, 0),
    };
    Ok(Rest {
        standing: standing(shared)?,
        unfinished: unfinished as u64,
        unfinished_bytes,
        unfinished_until_unix_ms: shared.staging.next_end(),
        thumbnails,
        thumbnail_bytes,
    })
}

fn standing(shared: &Shared) -> io::Result<Standing> {
    let query = Query::Standing { now_unix_ms: shared.time.unix_ms() };
    match shared.index.ask(query).map_err(io::Error::other)? {
        Answer::Standing(standing) => Ok(standing),
        _ => Err(odd()),
    }
}

/// Shows in the metrics how many contents are blocked.
pub(crate) fn note_blocked(shared: &Shared) {
    match standing(shared) {
        Ok(standing) => shared.metrics.blocked.set(standing.blocked as i64),
        Err(error) => tracing::warn!(%error, "how many contents are blocked can't be looked at"),
    }
}

fn find(shared: &Shared, name: Name) -> io::Result<Reference> {
    let query = Query::Reference { name, now_unix_ms: shared.time.unix_ms() };
    match shared.index.ask(query).map_err(io::Error::other)? {
        Answer::Reference(Some(found)) => Ok(*found),
        Answer::Reference(None) => {
            Err(io::Error::new(ErrorKind::NotFound, "there is no such file here, or no more"))
        }
        _ => Err(odd()),
    }
}

fn remove(shared: &Shared, name: Name) -> io::Result<Removed> {
    let Reference { content, owner, media_type, created_unix_ms, .. } = find(shared, name)?;
    let until_unix_ms =
        shared.time.unix_ms().saturating_add(SLOT_OPEN_MS).saturating_add(shared.settings.unfinished_ms);
    let edit = Edit::Remove { name, until_unix_ms };
    let gone = done(shared.index.edit(edit).map_err(io::Error::other)?)?;
    shared.metrics.removed_total.add(gone as u64);
    shared.due.notify_one();
    if let Some((thumbnails, object)) = shared.thumbnails.as_ref().zip(Object::named(&name.to_text())) {
        shared.runtime.block_on(thumbnails.forget(&object))?;
    }
    tracing::info!(account = ?owner, "the operator has removed a file");
    Ok(Removed { content, owner, media_type, created_unix_ms })
}

fn block(shared: &Shared, sha256: Digest, reason: Box<str>) -> io::Result<u64> {
    let blocked = Blocked { sha256, since_unix_ms: shared.time.unix_ms(), reason };
    let most = shared.settings.blocked_max;
    let uses = match shared.index.edit(Edit::Block { blocked, most }).map_err(io::Error::other)? {
        Answer::Done(uses) => uses as u64,
        Answer::Refused(Refused::Full) => {
            let text = format!("{most} contents are blocked, which is as many as may be; unblock some");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, text));
        }
        _ => return Err(odd()),
    };
    note_blocked(shared);
    shared.due.notify_one();
    tracing::info!(references = uses, "the operator has blocked a content");
    Ok(uses)
}

fn done(answer: Answer) -> io::Result<usize> {
    match answer {
        Answer::Done(count) => Ok(count),
        _ => Err(odd()),
    }
}

/// The name in a URL of a file, in whatever form it is pasted: with another scheme, a key behind `#`, without a host.
fn name_in(url: &str) -> Option<Name> {
    let path = url.trim().split(['#', '?']).next()?;
    let parts: Vec<&str> = path.split('/').collect();
    let ours = crate::PATH.trim_start_matches('/');
    parts.windows(2).find_map(|pair| if pair[0] == ours { Name::parse(pair[1]) } else { None })
}

/// A SHA-256 in hexadecimal digits.
fn digest(text: &str) -> Option<Digest> {
    let digits = text.trim().as_bytes();
    let mut digest = Digest::default();
    if digits.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let half = |digit: u8| char::from(digit).to_digit(16);
        *byte = (half(pair[0])? << 4 | half(pair[1])?) as u8;
    }
    Some(digest)
}

/// As people write it.
pub fn hex(sha256: &Digest) -> String {
    sha256.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn no_url() -> io::Error {
    let text = "that is no URL of a file of this server (…/media/NAME/FILE), and no SHA-256 in 64 hexadecimal digits";
    io::Error::new(ErrorKind::InvalidInput, text)
}

fn no_digest() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "that is no SHA-256 in 64 hexadecimal digits")
}

fn odd() -> io::Error {
    io::Error::other("the index has answered something else")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_understood_as_it_is_pasted() {
        let name = Name(0xabc).to_text();
        for url in [
            format!("https://chat.example/media/{name}/a.jpg"),
            format!("aesgcm://chat.example:8443/files/media/{name}/a.jpg#00ff"),
            format!(" /media/{name}/a%20b.jpg?w=64\n"),
            format!("https://chat.example/media/{name}"),
            format!("https://media/media/{name}/a"),
        ] {
            assert_eq!(name_in(&url), Some(Name(0xabc)), "{url}");
        }
        for url in ["", "https://chat.example/media/", "/media/abc/a.jpg", &format!("/medium/{name}/a")] {
            assert_eq!(name_in(url), None, "{url}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let sha256: Digest = std::array::from_fn(|at| at as u8 * 8);
        assert_eq!(digest(&hex(&sha256)), Some(sha256));
        assert_eq!(digest(&hex(&sha256).to_uppercase()), Some(sha256));
        for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65), &"ä".repeat(32)] {
            assert_eq!(digest(bad), None, "{bad}");
        }
    }
}
