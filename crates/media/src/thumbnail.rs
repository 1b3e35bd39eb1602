//! Thumbnails on demand (`?w=`): a small picture of an object, made when somebody asks for it, kept as long as there is room, gone with the object.
//!
//! Called by whoever serves objects; calls nobody else of this crate. To the caller it is [`Thumbnails::get`], [`Thumbnails::forget`] and,
//! after a start, [`Thumbnails::sweep`]. What it promises:
//!
//! - **A picture is decoded in a process of its own** ([`worker`], [`process`](self)), which can read the one open file it was handed and
//!   nothing else, has bounds for memory and time, and is killed when it does not answer. Chat and the serving of files go on whatever a
//!   picture does.
//! - **Widths are few** ([`Width`]): any wish is rounded up, so that one object has at most five.
//! - **No metadata** gets into a thumbnail, the place of a photograph least of all ([`picture`]).
//! - **One making at a time** for an object and a width, however many ask. Nothing waits without a bound: when too many are being made the
//!   answer is [`Refusal::Busy`].
//! - **What is no picture is remembered** like a thumbnail, and is not looked at again. What was the machine's fault is not remembered.
//! - **After `forget` nothing of an object is left**, also of what was in the middle of being made, if its file was gone before.
//!
//! A JPEG of 12 megapixels and 4.5 MB becomes 256 pixels wide in 140 to 210 ms, of which decoding is 115, with 47 MB resident and 52 MB of address
//! space in the worker; found again it is there in 30 to 70 µs (`examples/thumbnail_cost.rs`, release, two shared processors of a machine that was not
//! quiet). The first one, which starts the worker, took no longer than the others.

mod cache;
mod confine;
mod making;
pub mod picture;
mod process;
mod resample;
mod wire;
pub mod worker;
mod workers;

pub use making::{Thumbnail, Thumbnails};
pub use picture::{Encoding, Limits, Unfit};
pub use process::Program;

use std::io;
use std::time::Duration;

chaski_telemetry::metrics! {
    /// What thumbnails count.
    pub struct ThumbnailMetrics("chaski_thumbnails") {
        /// Thumbnails that were made.
        made_total: Counter,
        /// Asked for and found, made or known to be impossible.
        found_total: Counter,
        /// Asked for while they were being made for somebody else.
        shared_total: Counter,
        /// Objects that were found to be no picture.
        not_pictures_total: Counter,
        /// Pictures over a limit.
        too_large_total: Counter,
        /// Refused because too many were being made.
        refused_busy_total: Counter,
        /// Not made because no worker could be had, or the machine took it away.
        unavailable_total: Counter,
        /// Not kept because the folder can't be written.
        unkept_total: Counter,
        /// Time that workers have taken for pictures.
        making_total_ms: Counter,
        /// Pictures that wait for a worker.
        waiting: Gauge,
        /// Worker processes.
        workers: Gauge,
        /// Workers that were started.
        workers_started_total: Counter,
        /// Workers that could not be started or confined.
        workers_failed_total: Counter,
        /// Workers that died, took too long or answered nonsense.
        workers_lost_total: Counter,
        /// Workers without a filter of system calls, which the system does not have.
        workers_unfiltered_total: Counter,
        /// Bytes of thumbnails at rest, in whole blocks.
        kept_bytes: Gauge,
    }
}

/// What an operator may want otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What a picture may cost.
    pub limits: Limits,
    /// Worker processes at most.
    pub workers: usize,
    /// Pictures that may wait for them.
    pub waiting_max: usize,
    /// How long a picture may take, by the clock on the wall.
    pub picture_time: Duration,
    /// After so many pictures a worker is replaced.
    pub pictures_per_worker: u32,
    /// After so long without a picture it ends.
    pub idle_time: Duration,
    /// Bytes that thumbnails may take at rest.
    pub cache_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            workers: 2,
            waiting_max: 64,
            picture_time: Duration::from_secs(10),
            pictures_per_worker: 64,
            idle_time: Duration::from_secs(120),
            cache_bytes: 1 << 30,
        }
    }
}

/// An object's name, as thumbnails' files are named by it: 1 to 128 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object(std::sync::Arc<str>);

impl Object {
    /// `None`: has something else in it.
    pub fn named(name: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((1..=128).contains(&name.len()) && name.bytes().all(is_plain)).then(|| Self(name.into()))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// How wide a thumbnail is at most. It is at most twice as high, and never larger than the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Width(u32);

impl Width {
    /// All there are.
    pub const ALL: [Self; 5] = [Self(64), Self(128), Self(256), Self(512), Self(1024)];

    /// The next one up; the largest for whatever is larger.
    pub fn at_least(pixels: u32) -> Self {
        let [.., largest] = Self::ALL;
        Self::ALL.into_iter().find(|width| width.0 >= pixels).unwrap_or(largest)
    }

    /// In pixels.
    pub fn pixels(self) -> u32 {
        self.0
    }
}

/// Why there is no thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There never will be one: 415 for what is no picture, and for what is too large a one. It is remembered.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Too many are being made: 503, in a few seconds again.
    #[error("too many thumbnails are being made")]
    Busy,
    /// No worker could be had, or the machine took it away: 503.
    #[error("no thumbnails can be made for now")]
    Unavailable,
    /// The object can't be opened or read, or is gone (`NotFound`: 404).
    #[error("the object can't be read: {0}")]
    Unreadable(io::ErrorKind),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_rounded_up() {
        for (wanted, given) in
            [(0, 64), (1, 64), (64, 64), (65, 128), (257, 512), (1024, 1024), (u32::MAX, 1024)]
        {
            assert_eq!(Width::at_least(wanted).pixels(), given, "{wanted}");
        }
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["", ".", "..", "a/b", "a.b", "../a", "ä", "a b", "a\0", &"a".repeat(129)] {
            assert_eq!(Object::named(name), None, "{name}");
        }
        assert!(Object::named(&"aZ09-_".repeat(20)).is_some());
    }
}
