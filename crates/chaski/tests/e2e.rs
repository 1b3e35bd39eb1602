//! The real binary, as an operator meets it: started, misconfigured, asked, reloaded, stopped.
//!
//! Every server has its own data directory and ports that the system chooses, so that tests run side by side.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

#[path = "e2e/bench.rs"]
mod bench;
#[path = "e2e/books.rs"]
mod books;
#[path = "e2e/chat.rs"]
mod chat;
#[path = "e2e/client.rs"]
mod client;
#[path = "e2e/ctl.rs"]
mod ctl;
#[path = "e2e/demo.rs"]
mod demo;
#[path = "e2e/doctor.rs"]
mod doctor;
#[path = "e2e/doctor_url.rs"]
mod doctor_url;
#[path = "e2e/files.rs"]
mod files;
#[path = "e2e/media.rs"]
mod media;
#[path = "e2e/media_kills.rs"]
mod media_kills;
#[path = "e2e/registered.rs"]
mod registered;
#[path = "e2e/removal.rs"]
mod removal;
#[path = "e2e/serve.rs"]
mod serve;
#[path = "e2e/server.rs"]
mod server;
#[path = "e2e/startup.rs"]
mod startup;
#[path = "e2e/thumbnails.rs"]
mod thumbnails;
#[path = "e2e/tickets.rs"]
mod tickets;
