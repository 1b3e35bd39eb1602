//! How documents of an account change: in line with its other errands, durable before anybody sees it, and then told as an event.
//!
//! For rooms that change the same document: blocking and privacy the settings; PEP, profiles and private storage the nodes.

pub(crate) mod nodes;
pub mod settings;
