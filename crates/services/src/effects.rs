//! What a room can ask for, as plain data and continuations: its turn, what it posts, and the forms of that which travel.

pub(crate) mod event;
pub mod iq;
pub mod letter;
pub mod login;
pub(crate) mod news;
pub mod owners;
pub mod pep;
pub mod presence;
pub mod turn;
