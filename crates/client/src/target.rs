//! Where a server is and how its connection is protected.

use crate::trust::Trust;
use std::fmt;

/// How TLS begins.
#[derive(Debug, Clone)]
pub enum Security {
    /// After `<starttls/>` (RFC 6120 §5).
    StartTls(Trust),
    /// From the first byte (XEP-0368).
    Direct(Trust),
    /// Never: a listener behind a TLS terminator, on this machine only.
    Plain,
}

/// A server.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to connect.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How it is protected.
    pub security: Security,
    /// The domain we want to log in to; the certificate must be for it.
    pub domain: String,
}

/// Host and port.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Splits `HOST`, `HOST:PORT`, `[IPV6]:PORT` or an IPv6 address as such. `None`: it is none of them.
pub fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Some((text, None)),
        Some((host, port)) if !host.is_empty() => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
        None => (!text.is_empty()).then_some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(split_host_port("chat.example"), Some(("chat.example", None)));
        assert_eq!(split_host_port("127.0.0.1:5223"), Some(("127.0.0.1", Some(5223))));
        assert_eq!(split_host_port("[::1]:5222"), Some(("::1", Some(5222))));
        assert_eq!(split_host_port("[::1]"), Some(("::1", None)));
        assert_eq!(split_host_port("::1"), Some(("::1", None)));
        for bad in ["", ":5222", "host:port", "host:70000", "[::1", "[::1]5222"] {
            assert_eq!(split_host_port(bad), None, "{bad}");
        }
    }
}
