//! XMPP as pure state machines: bytes in, events and bytes out. No sockets, no clock, no storage.
//!
//! From the wire inwards: [`framer`] cuts top-level elements out of a TCP byte stream ([`websocket`] gives whole ones),
//! [`stanza`] validates one and shows it as a borrowed view, [`element`] reads inside it, [`rewrite`] changes its start
//! tag, [`stored`] is what is relayed, queued and stored, [`write`](mod@write) makes answers. [`jid`], [`datetime`], [`error`] and [`ns`] are the vocabulary.
//!
//! Called by: `chaski-services`, `chaski-server`, `chaski-client`. Calls nobody.

pub mod datetime;
pub mod element;
pub mod error;
pub mod framer;
pub mod jid;
pub mod ns;
pub mod rewrite;
pub mod sasl;
pub mod sm;
pub mod stanza;
pub mod stored;
pub mod stream;
pub mod websocket;
pub mod write;

mod escape;
mod scan;
mod validate;

pub use element::ElementRef;
pub use error::{ErrorType, StanzaCondition, StreamCondition};
pub use framer::{Frame, FrameError, Framer};
pub use jid::{BareJid, FullJid, Jid, JidError, JidRef};
pub use stanza::{Husk, Kind, ParseError, Prefixes, Stanza, StreamHeader};
pub use stored::Stored;
pub use write::{Header, StanzaError, Writer, xml};
