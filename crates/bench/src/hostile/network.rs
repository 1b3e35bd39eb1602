//! Everything that one address may do without an account: connections, handshakes, guesses, requests, all from one address.
//!
//! Called by [`super::attack`]. Each [`Act`] has some connections of its own; who is refused comes again.

use super::Attack;
use crate::error::BenchError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chaski_client::Trust;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Before whoever was refused comes again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long somebody is waited for who says nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection is held that does nothing.
const HELD: Duration = Duration::from_secs(60);
const GUESSES_PER_CONNECTION: u32 = 5;
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a connection does.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// A handshake that is not finished.
    HalfHandshake,
    /// Opens, and says nothing.
    Silence,
    /// Opens and closes.
    Churn,
    /// A stream that begins and goes no further.
    HalfLogin,
    /// Passwords of numbers, by PLAIN.
    GuessPlain,
    /// Salts of numbers, by SCRAM.
    AskSalts,
    /// Passwords over HTTP.
    GuessHttp,
    /// Registrations of numbers.
    Register,
    /// A body that comes slowly.
    SlowBody,
}

/// And how many connections.
const ACTS: [(Act, usize); 9] = [
    (Act::HalfHandshake, 400),
    (Act::Silence, 200),
    (Act::Churn, 8),
    (Act::HalfLogin, 200),
    (Act::GuessPlain, 30),
    (Act::AskSalts, 30),
    (Act::GuessHttp, 30),
    (Act::Register, 16),
    (Act::SlowBody, 32),
];

/// Until it is killed.
pub(super) async fn run(attack: &Attack) -> Result<(), BenchError> {
    let mut connections = JoinSet::new();
    let trust = Trust::anybody_on_loopback();
    for (act, count) in ACTS {
        for index in 0..count {
            let hostile = Hostile {
                act,
                ports: attack.ports,
                from: attack.from,
                trust: trust.clone(),
                rng: StdRng::seed_from_u64(attack.seed ^ (act as u64) << 32 ^ index as u64),
            };
            connections.spawn(hostile.live());
        }
    }
    while connections.join_next().await.is_some() {}
    Err(BenchError::Server("the hostile address' connections are over".into()))
}

struct Hostile {
    act: Act,
    /// Without TLS, with TLS, HTTP.
    ports: (u16, u16, u16),
    from: Ipv4Addr,
    trust: Trust,
    rng: StdRng,
}

impl Hostile {
    async fn live(mut self) {
        loop {
            // However it ends: it comes again.
            let _ = self.act().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn act(&mut self) -> io::Result<()> {
        let (plain, tls, http) = self.ports;
        let port = match self.act {
            Act::HalfHandshake => tls,
            Act::GuessHttp | Act::Register | Act::SlowBody => http,
            _ => plain,
        };
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let mut socket = socket.connect(([127, 0, 0, 1], port).into()).await?;
        match self.act {
            Act::Churn => Ok(()),
            Act::Silence => held(&mut socket).await,
            Act::HalfHandshake => {
                let mut hello = Vec::new();
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let mut session = ClientConnection::new(self.trust.xmpp_config().clone(), name)
                    .map_err(io::Error::other)?;
                session.write_tls(&mut hello)?;
                socket.write_all(&hello).await?;
                held(&mut socket).await
            }
            Act::HalfLogin => {
                socket.write_all(HEADER.as_bytes()).await?;
                held(&mut socket).await
            }
            Act::GuessPlain => self.guess(&mut socket, "PLAIN").await,
            Act::AskSalts => self.guess(&mut socket, "SCRAM-SHA-1").await,
            Act::GuessHttp => {
                let authorization = BASE64.encode(format!("{}:guess", self.number()));
                let head = format!(
                    "GET /v1/contacts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n\r\n"
                );
                self.requests(&mut socket, head).await
            }
            Act::Register => {
                let body = format!("{{\"phone\":\"{}\",\"transport\":\"sms\"}}", self.number());
                let head = "POST /v1/registrations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
                let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                self.requests(&mut socket, request).await
            }
            Act::SlowBody => {
                let head = "PUT /v1/contacts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n";
                let authorization = BASE64.encode(format!("{}:guess", self.number()));
                socket
                    .write_all(format!("{head}Authorization: Basic {authorization}\r\n\r\n").as_bytes())
                    .await?;
                loop {
                    socket.write_all(b"[").await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// A number that is hardly anybody's.
    fn number(&mut self) -> String {
        format!("+1777{:07}", self.rng.random_range(0..10_000_000))
    }

    async fn guess(&mut self, socket: &mut TcpStream, mechanism: &str) -> io::Result<()> {
        socket.write_all(HEADER.as_bytes()).await?;
        heard(socket).await?;
        for _ in 0..GUESSES_PER_CONNECTION {
            let number = self.number();
            let first = match mechanism {
                "PLAIN" => format!("\0{number}\0guess"),
                _ => format!("n,,n={number},r=hostile"),
            };
            let auth = format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{}</auth>",
                BASE64.encode(first)
            );
            socket.write_all(auth.as_bytes()).await?;
            heard(socket).await?;
            if mechanism != "PLAIN" {
                socket.write_all(b"<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await?;
                heard(socket).await?;
            }
        }
        Ok(())
    }

    async fn requests(&mut self, socket: &mut TcpStream, request: String) -> io::Result<()> {
        for _ in 0..GUESSES_PER_CONNECTION {
            socket.write_all(request.as_bytes()).await?;
            heard(socket).await?;
        }
        Ok(())
    }
}

async fn heard(socket: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; 4_096];
    match tokio::time::timeout(PATIENCE, socket.read(&mut answer)).await {
        Ok(Ok(0)) | Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error),
    }
}

/// Does nothing more until the server has enough of it.
async fn held(socket: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; 4_096];
    let rest = async {
        while socket.read(&mut answer).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(HELD, rest).await.unwrap_or(Ok(()))
}
