//! This installation, as a server knows it again: its id (XEP-0388 §2.3) and the token by which it comes back (XEP-0484).

use chaski_xmpp::sasl::token::TokenMechanism;
use chaski_xmpp::stream::ClientId;
use std::fmt;

/// An installation of a program on a device. To be kept between runs, where nobody else can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id. The server tells it to nobody.
    pub id: ClientId,
    /// From the last login.
    pub token: Option<Token>,
}

/// As good as the account's key, until it is replaced or over.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The secret.
    pub secret: String,
    /// What it is for.
    pub mechanism: TokenMechanism,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.mechanism)
    }
}

impl Device {
    /// One that no server has seen.
    pub fn new() -> Self {
        let mut id: [u8; 16] = rand::random();
        // XEP-0388 wants a UUID of version 4: RFC 9562 §5.4.
        id[6] = id[6] & 0x0F | 0x40;
        id[8] = id[8] & 0x3F | 0x80;
        Self { id: ClientId(id), token: None }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}
