//! Accounts: who exists, what proves it, and how a phone number becomes an account.
//!
//! Owns: the document in [`chaski_store::Table::Accounts`] ([`AccountRecord`]), its [`Credentials`], and (in
//! [`registration`]) the tables of waiting registrations and of limits. Called by: the shard (reads records),
//! the HTTP side (registration), the admin side (service accounts, import). Promises: nothing here keeps a key,
//! password or code in clear; a service name never shares an account with another name.
//! Specification: RFC 5802 and 7677 (SCRAM), ITU-T E.164.

mod credentials;
pub mod guesses;
pub mod limits;
mod name;
pub mod network;
pub mod phone;
mod record;
pub mod registration;
mod resident;
pub mod tokens;
pub mod verification;

pub use chaski_xmpp::sasl::Salting;
pub use credentials::{Credentials, Derivation, ITERATIONS, PlainCheck, make_key};
pub use name::{AccountName, NameError};
pub use record::{AccountRecord, RECORD_VERSION, RecordError, RegistrationLock};
pub use resident::ResidentRecord;
