//! The client's side of SCRAM and PLAIN, for our own client, the load generator and tests.

/// RFC 9266.
pub const TLS_EXPORTER: &str = "tls-exporter";
/// RFC 5929 §4.
pub const TLS_SERVER_END_POINT: &str = "tls-server-end-point";
