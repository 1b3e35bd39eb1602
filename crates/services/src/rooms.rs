//! The rooms: one for each feature, of its specification, its requests, its limits, its metrics and its tests.
//!
//! A room is given an account and an input, and answers with effects and events ([`crate::effects`]). It never calls another
//! room: it learns by events what happens in other rooms. Only `owner/dispatch` knows all rooms.

pub mod accounts;
pub mod blocking;
pub mod calls;
pub mod cancelled_registration;
pub mod caps;
pub mod commands;
pub mod contact_sync;
pub mod pep;
pub mod presence;
pub mod privacy;
pub mod private;
pub mod profile;
pub mod roster;
pub mod upload;
