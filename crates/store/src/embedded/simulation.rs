//! The embedded engine on a disk that loses its power, turn by turn as a seed says, and what must be left of it.
//!
//! `kill -9` keeps the page cache, so it can't tell whether what is said to be synced is synced. Here [`SimulatedDisk`] keeps
//! apart what is durable and what isn't, for the journal's files and (through a VFS) SQLite's; [`Stepped`] is the real engine
//! whose threads' turns are taken one by one; [`campaign`] lives random lives on it, cuts the power at random operations of the
//! disk, in recovery and at the end too, and holds what is found against the promises ([`ledger`]).
//!
//! Called by tests, by `examples/power_cuts.rs`, and by whoever wants a disk that fails. Compiled with the feature `simulation`
//! alone: never part of a server.

pub mod campaign;
mod cut;
mod dice;
mod disk;
mod inodes;
pub mod ledger;
mod shared_memory;
mod stepped;
mod vfs;

pub use cut::Cut;
pub use dice::Dice;
pub use disk::SimulatedDisk;
pub use stepped::{SimulatedClock, Stepped, Who};
pub use vfs::seed_randomness;
