//! Tells clients of the same user on this machine where the server is and whose certificate to believe, while it has a development
//! certificate: `chaski chat` needs no option then.

use super::Server;
use chaski_client::local::{Announced, LocalServer, data_home};
use chaski_server::config::C2sTls;
use std::net::SocketAddr;

/// Until it is dropped. That it can't be told (no home, a full disk) is no reason not to serve.
pub(super) fn announce(server: &Server) -> Option<Announced> {
    let ca = std::path::absolute(server.certificate.ca_file.as_ref()?).ok()?;
    let (config, addresses) = (&server.config, server.edge.local_addrs());
    let listens = |tls: C2sTls| -> Option<SocketAddr> {
        config.c2s.iter().zip(addresses).find(|(c2s, _)| c2s.tls == tls).map(|(_, at)| *at)
    };
    let local = LocalServer {
        pid: std::process::id(),
        domain: config.domain.clone(),
        ca,
        https: server.network.public,
        direct: listens(C2sTls::Direct),
        starttls: listens(C2sTls::Starttls),
    };
    let announced = local.announce(&data_home()?);
    announced
        .inspect_err(|error| tracing::debug!(%error, "clients on this machine are not told of this server"))
        .ok()
}
