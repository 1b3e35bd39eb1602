//! The index against the backends: rows without a file, files without a row, and what is longer or shorter than its row says.
//!
//! Works while files come and go: what looks wrong is looked at again, in the order in which both are changed ([`crate::objects`]). In steps
//! of some seconds, each of which says where the next begins, and these in pages, so that any number of files takes the same memory and
//! nobody waits long for an answer. Called by `chaski ctl media check`, on a thread that may wait.

use crate::Shared;
use chaski_store::media::{Answer, Lying, ObjectId, Query};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// How long a step takes when an operator waits: far less than he waits for an answer.
pub const STEP_TIME: Duration = Duration::from_secs(5);

/// What is wrong is named up to so many in a step; counted is all.
pub const NAMED_MAX: usize = 100;

/// What a step has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What lies in each backend, by its name.
    pub places: BTreeMap<String, Held>,
    /// Rows whose file is missing.
    pub dangling: u64,
    /// Files that no row names.
    pub orphans: u64,
    /// Files of another length than their row says.
    pub wrong_sizes: u64,
    /// Files that are on their way, or whose way was cut: these are seen to at the next start. Said by the last step of a backend.
    pub arriving: u64,
    /// Some of the wrong ones, for people.
    pub named: Vec<String>,
    /// Where the next step begins; `None`: that was the last.
    pub next: Option<String>,
}

/// What the index says of one backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Objects.
    pub objects: u64,
    /// References to them.
    pub references: u64,
    /// Their bytes, each object once.
    pub bytes: u64,
}

impl Found {
    fn name(&mut self, what: &str, place: &str, object: ObjectId) {
        if self.named.len() < NAMED_MAX {
            let (place, id) = (if place.is_empty() { "folder" } else { place }, format!("{:032x}", object.0));
            self.named.push(format!("{what} in {place}: {}/{id}", &id[..2]));
        }
    }
}

/// Where a step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// All rows, after this one.
    Rows(Option<ObjectId>),
    /// Then all files, backend after backend; of each those whose id begins with this byte.
    Files { backend: usize, first: u8 },
}

impl At {
    fn parse(text: &str) -> Option<Self> {
        if let Some(after) = text.strip_prefix("rows-") {
            return u128::from_str_radix(after, 16).ok().map(|after| Self::Rows(Some(ObjectId(after))));
        }
        let (backend, first) = text.strip_prefix("files-")?.split_once('-')?;
        Some(Self::Files { backend: backend.parse().ok()?, first: first.parse().ok()? })
    }

    fn to_text(self) -> String {
        match self {
            Self::Rows(after) => format!("rows-{:032x}", after.map_or(0, |after| after.0)),
            Self::Files { backend, first } => format!("files-{backend}-{first}"),
        }
    }
}

/// Looks from there on, at least at one page, and until this time is over. Blocks.
pub(crate) fn step(shared: &Shared, from: Option<&str>, within: Duration) -> io::Result<Found> {
    let began = Instant::now();
    let strange = || io::Error::new(io::ErrorKind::InvalidInput, "that is no step of a check");
    let mut at = from.map_or(Some(At::Rows(None)), At::parse).ok_or_else(strange)?;
    let mut found = Found::default();
    loop {
        let next = match at {
            At::Rows(after) => rows(shared, after, &mut found)?,
            At::Files { backend, first } => files(shared, backend, first, &mut found)?,
        };
        match next {
            Some(next) if began.elapsed() < within => at = next,
            next => {
                found.next = next.map(At::to_text);
                return Ok(found);
            }
        }
    }
}

/// A page of rows: each has its file.
fn rows(shared: &Shared, after: Option<ObjectId>, found: &mut Found) -> io::Result<Option<At>> {
    let limit = ROWS_MAX;
    let Answer::Lying(page) = shared.index.ask(Query::Lying { after, limit }).map_err(io::Error::other)?
    else {
        return Err(odd());
    };
    page.iter().try_for_each(|row| look_at(shared, row, found))?;
    let next = page.last().map(|last| At::Rows(Some(last.object)));
    Ok(Some(next.unwrap_or(At::Files { backend: 0, first: 0 })))
}

fn look_at(shared: &Shared, row: &Lying, found: &mut Found) -> io::Result<()> {
    let held = found.places.entry(row.place.to_string()).or_default();
    held.objects += 1;
    held.references += row.uses;
    held.bytes += row.size;
    match shared.stores.at(&row.place)?.size(row.object)? {
        Some(size) if size == row.size => {}
        Some(_) => {
            found.wrong_sizes += 1;
            found.name("wrong length of the file", &row.place, row.object);
        }
        // Its row goes first, so that one that is still there had none.
        None if asked(shared, Query::Known { objects: vec![row.object] })?.contains(&row.object) => {
            found.dangling += 1;
            found.name("no file for the row", &row.place, row.object);
        }
        None => {}
    }
    Ok(())
}

/// The files of a backend that begin with a byte: each has its row, or is on its way out.
fn files(shared: &Shared, backend: usize, first: u8, found: &mut Found) -> io::Result<Option<At>> {
    let Some((place, objects)) = shared.stores.all().nth(backend) else { return Ok(None) };
    let mut strange = Vec::new();
    objects.each(first, &mut |page| {
        let ids: Vec<ObjectId> = page.iter().map(|(object, _)| *object).collect();
        let listed: BTreeSet<ObjectId> =
            asked(shared, Query::Listed { objects: ids.clone() })?.into_iter().collect();
        strange.extend(ids.into_iter().filter(|object| !listed.contains(object)));
        if strange.len() > STRANGE_MAX { Err(io::Error::other("too many files have no row")) } else { Ok(()) }
    })?;
    // A bucket has a file before there is a row, and its mark here as long; a folder's may have gone since it was listed.
    let arriving: BTreeSet<ObjectId> = objects.arrivals()?.into_iter().collect();
    for object in strange {
        let is_listed = asked(shared, Query::Listed { objects: vec![object] })?.contains(&object);
        if !is_listed && !arriving.contains(&object) && objects.size(object)?.is_some() {
            found.orphans += 1;
            found.name("no row for the file", place, object);
        }
    }
    if first == u8::MAX {
        found.arriving += arriving.len() as u64;
    }
    Ok(Some(match first.checked_add(1) {
        Some(first) => At::Files { backend, first },
        None => At::Files { backend: backend + 1, first: 0 },
    }))
}

/// A page of rows. Each may be a question to a bucket, so that fewer than [`PAGE_MAX`](chaski_store::media::PAGE_MAX) are one.
const ROWS_MAX: usize = 64;
/// Beyond so many in a step it is the wrong folder, or the wrong database.
const STRANGE_MAX: usize = 100_000;

fn asked(shared: &Shared, query: Query) -> io::Result<Vec<ObjectId>> {
    match shared.index.ask(query).map_err(io::Error::other)? {
        Answer::Objects(objects) => Ok(objects),
        _ => Err(odd()),
    }
}

fn odd() -> io::Error {
    io::Error::other("the index has answered something else")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_step_begins_is_said_and_read() {
        for at in [At::Rows(Some(ObjectId(77))), At::Files { backend: 2, first: 255 }] {
            assert_eq!(At::parse(&at.to_text()), Some(at));
        }
        for text in ["", "rows-", "rows-x", "files-1", "files-1-256", "files--1"] {
            assert_eq!(At::parse(text), None, "{text}");
        }
    }
}
