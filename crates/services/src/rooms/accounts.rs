//! How a phone number becomes an account, and the limits on whoever tries to prove one.
//!
//! Owns the tables of registrations under way and of their limits, and the counts of wrong secrets ([`guesses`]). The account's own
//! record and its credentials are in [`crate::account`]; the account's owner alone writes them. Called by the HTTP side on threads
//! that may block; [`guesses`] by all ways to log in. Promises: no code and no PIN is stored in clear.

pub mod guesses;
pub mod limits;
pub mod registration;
pub mod verification;
