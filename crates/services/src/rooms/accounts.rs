//! Accounts: which exist, what proves them, and how a phone number becomes an account.
//!
//! Owns: the document in [`chaski_store::Table::Accounts`] ([`AccountRecord`]), its [`Credentials`], and (in
//! [`registration`]) the tables of waiting registrations and of limits. Called by: the HTTP side (registration), the admin side
//! (service accounts, import), and owners (records). Promises: nothing here keeps a key, password or code in clear; a service
//! name never shares an account with another name. Specification: RFC 5802 and 7677 (SCRAM), ITU-T E.164.

pub mod guesses;
pub mod limits;
pub mod registration;
pub mod verification;
