//! What `serve` says on stdout when it is ready: where to connect and what to do next.

use super::Server;
use crate::failure::Failure;
use chaski_server::config::{C2sTls, HttpTls, SmsGateway};
use std::io::Write;

pub(super) fn write(server: &Server) -> Result<(), Failure> {
    let text = text(server);
    let mut out = std::io::stdout().lock();
    // A supervisor that has closed our stdout must not stop the server.
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
    tracing::info!(domain = server.config.domain, "ready");
    Ok(())
}

fn text(server: &Server) -> String {
    let config = &server.config;
    let mut lines = vec![format!("Chaski {} serves {}", env!("CARGO_PKG_VERSION"), config.domain)];
    let mut say = |what: &str, value: String| lines.push(format!("  {what:<14}{value}"));

    let addresses = server.edge.local_addrs();
    for (c2s, addr) in config.c2s.iter().zip(addresses) {
        let tls = match c2s.tls {
            C2sTls::Starttls => "STARTTLS",
            C2sTls::Direct => "direct TLS",
            C2sTls::Terminated => "plain, behind a TLS terminator",
        };
        say("clients", format!("{addr} ({tls})"));
    }
    let http = server.network.public;
    let both = config.http.tls == HttpTls::Auto && config.http.listen.ip().is_loopback();
    let (web, socket) = match (both, config.http.tls) {
        (true, _) => {
            (format!("https://{http} or http://{http}"), format!("wss://{http}/ws or ws://{http}/ws"))
        }
        (_, HttpTls::Terminated) => {
            (format!("http://{http} (behind a TLS terminator)"), format!("ws://{http}/ws"))
        }
        _ => (format!("https://{http}"), format!("wss://{http}/ws")),
    };
    say("web", web);
    say("websocket", socket);
    if let Some(private) = server.network.private {
        say("metrics", format!("http://{private}/metrics"));
    }
    say("data", shown(&config.data));
    match &server.certificate.ca_file {
        Some(ca) => say("certificate", format!("development; clients must trust {}", shown(ca))),
        None => say("certificate", shown(&config.tls.certificate)),
    }
    match (config.registration.enabled, config.sms.gateway) {
        (false, _) => say("registration", "off; make accounts with: chaski ctl account add +NUMBER".into()),
        (true, SmsGateway::Log) => {
            say("registration", "open; the PINs appear in this log instead of an SMS".into())
        }
        (true, _) => say("registration", "open; the PINs go out by SMS".into()),
    }
    lines.push("Ready. Try: chaski chat +15550100001".into());
    lines.join("\n") + "\n"
}

fn shown(path: &std::path::Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
}
