//! The embedded engine against crashes, damage, a full disk, and the promise to forget.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may")]

mod clock;
mod crash;
mod damage;
mod failing_disk;
mod forgetting;
mod full_disk;
mod gaps;
mod memory_bounds;
mod migration;
mod model;
mod opening;
mod removal;
mod secrets;
mod support;
mod unreadable;
