//! What all loads share: a server (our own, or one that is named), accounts on it, and how sessions reach it.

use crate::accounts;
use crate::engine::purse::Purse;
use crate::engine::{Setup, Tls, Transport, Wishes};
use crate::error::BenchError;
use crate::server::process::{self, Usage};
use crate::server::{Listener, Rig, Running};
use chaski_client::Trust;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use chaski_xmpp::sasl::Mechanism;

/// Most time for one login: a storm may keep a phone waiting.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How sessions are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not: the listener for a TLS terminator.
    Plain,
    /// Upgraded.
    StartTls,
    /// From the first byte.
    Tls,
}

impl Security {
    /// As in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::StartTls => "starttls",
            Self::Tls => "tls",
        }
    }

    fn listener(self) -> Listener {
        match self {
            Self::Plain => Listener::Plain,
            Self::StartTls => Listener::StartTls,
            Self::Tls => Listener::Tls,
        }
    }
}

/// How sessions log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// RFC 6120, one step after the other.
    #[default]
    Classic,
    /// The same, without waiting for answers that are known (XEP-0305).
    Pipelined,
    /// In one exchange (XEP-0388, XEP-0386).
    Sasl2,
    /// The first time in one exchange, and from then on by a token in one message (XEP-0484).
    Fast,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Classic, Self::Pipelined, Self::Sasl2, Self::Fast];

    /// In a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Pipelined => "pipelined",
            Self::Sasl2 => "sasl2",
            Self::Fast => "fast",
        }
    }
}

/// Where the load goes.
#[derive(Debug, Clone)]
pub struct Load {
    /// A server of our own, unless [`Load::running`] names one.
    pub own: OwnServer,
    /// A server that runs already.
    pub running: Option<RunningServer>,
    /// How sessions are encrypted.
    pub security: Security,
    /// Whether TLS sessions may be resumed by ticket.
    pub tls_resumption: bool,
    /// Whether to use stream management (XEP-0198) where it is offered.
    pub stream_management: bool,
    /// Whether sessions say that they are there.
    pub presence: bool,
    /// How sessions log in.
    pub way: Way,
    /// Only this login mechanism; `None`: the strongest that is offered.
    pub mechanism: Option<Mechanism>,
    /// Generator threads; `None`: as many as the sessions need.
    pub threads: Option<u32>,
    /// Logins under way at once, over all threads.
    pub logins_at_once: u32,
    /// Logins per second; `None`: as fast as they go.
    pub logins_per_s: Option<f64>,
    /// Whence the accounts' keys follow.
    pub seed: u64,
    /// The server's name in the report.
    pub label: String,
    /// Whether to show no progress.
    pub quiet: bool,
}

/// A server that is started for the run.
#[derive(Debug, Clone)]
pub struct OwnServer {
    /// The `chaski` binary.
    pub binary: PathBuf,
    /// Where it keeps its data.
    pub dir: PathBuf,
    /// Its shards; `None`: its own choice.
    pub shards: Option<u32>,
    /// More configuration: the text of a TOML file without listeners, `[http]` and `[log]`.
    pub config: String,
}

/// A server that somebody else has started, with accounts imported from `chaski bench accounts`.
#[derive(Debug, Clone)]
pub struct RunningServer {
    /// Its addresses, `HOST:PORT`: connections go to all of them by turns.
    pub addresses: Vec<String>,
    /// Its domain.
    pub domain: String,
    /// Its processes on this machine.
    pub pids: Vec<u32>,
    /// The authority of its certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Somebody says that it may be loaded although it is on another machine.
    pub is_own: bool,
}

/// A server under load.
pub(crate) struct LoadServer {
    targets: Vec<SocketAddr>,
    domain: String,
    trust: Option<Trust>,
    own: Option<(Rig, Running)>,
    pids: Vec<u32>,
}

impl LoadServer {
    /// Starts a server with this many accounts, or takes the named one.
    pub(crate) async fn start(load: &Load, accounts: u32) -> Result<Self, BenchError> {
        if accounts as usize > accounts::ACCOUNTS_MAX {
            return Err(BenchError::Refused(format!(
                "there are at most {} accounts",
                accounts::ACCOUNTS_MAX
            )));
        }
        let is_plain = load.security == Security::Plain;
        if let Some(running) = &load.running {
            let targets = targets(running)?;
            let is_here = targets.iter().all(|target| target.ip().is_loopback());
            let trust = match &running.ca {
                _ if is_plain => None,
                Some(ca) => Some(Trust::file(ca)?),
                None if is_here => Some(Trust::anybody_on_loopback()),
                None => Some(Trust::system()?),
            };
            let (domain, pids) = (running.domain.clone(), running.pids.clone());
            return Ok(Self { targets, domain, trust, own: None, pids });
        }
        let shards = load.own.shards.map(|shards| format!("shards = {shards}\n")).unwrap_or_default();
        let extra = format!("{shards}{}", load.own.config);
        let rig = Rig::prepare(load.own.binary.clone(), &load.own.dir, &extra)?;
        rig.import(load.seed, accounts as usize).await?;
        let mut server = rig.spawn()?;
        server.ready().await?;
        let targets = vec![SocketAddr::from(([127, 0, 0, 1], rig.port(load.security.listener())))];
        let trust = (!is_plain).then(Trust::anybody_on_loopback);
        let pids = server.pid().into_iter().collect();
        Ok(Self { targets, domain: "localhost".into(), trust, own: Some((rig, server)), pids })
    }

    /// What all sessions have in common.
    pub(crate) fn setup(&self, load: &Load) -> Result<Setup, BenchError> {
        let tls = || self.tls(load.tls_resumption);
        Ok(Setup {
            targets: self.targets.clone(),
            transport: match load.security {
                Security::Plain => Transport::Plain,
                Security::StartTls => Transport::StartTls(tls()?),
                Security::Tls => Transport::DirectTls(tls()?),
            },
            wishes: Wishes {
                domain: self.domain.clone(),
                starttls: load.security == Security::StartTls,
                stream_management: load.stream_management,
                presence: load.presence,
                way: load.way,
                mechanism: load.mechanism,
            },
            seed: load.seed,
            run: rand::random(),
            login_timeout: LOGIN_TIMEOUT,
            own_descriptors: false,
        })
    }

    fn tls(&self, resumption: bool) -> Result<Tls, BenchError> {
        let trust = self.trust.clone().unwrap_or_else(Trust::anybody_on_loopback);
        let mut config = (**trust.xmpp_config()).clone();
        chaski_tls::prepare_client(&mut config);
        config.resumption = match resumption {
            true => Resumption::store(Arc::new(Purse)),
            false => Resumption::disabled(),
        };
        let name = ServerName::try_from(self.domain.clone())
            .map_err(|_| BenchError::Refused(format!("{} is no domain", self.domain)))?;
        Ok(Tls { config: Arc::new(config), name, takes_tickets: resumption })
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        process::usage_of_all(&self.pids)
    }

    /// Where it runs, if it is our own.
    pub(crate) fn rig(&self) -> Option<&Rig> {
        self.own.as_ref().map(|(rig, _)| rig)
    }

    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        if let Some((_, own)) = self.own {
            own.stop().await?;
        }
        Ok(())
    }
}

/// The addresses of a named server, if it may be loaded.
fn targets(running: &RunningServer) -> Result<Vec<SocketAddr>, BenchError> {
    let mut all = Vec::new();
    for address in &running.addresses {
        let found = address
            .to_socket_addrs()
            .map_err(|_| BenchError::Refused(format!("--server {address} is not of the form HOST:PORT")))?;
        // A name's first address: the others may be the same listener's or nobody's.
        let found = found.into_iter().min_by_key(SocketAddr::is_ipv6);
        let target =
            found.ok_or_else(|| BenchError::Refused(format!("--server {address} has no address")))?;
        if !target.ip().is_loopback() && !running.is_own {
            return Err(BenchError::Refused(format!(
                "{address} is another machine, and a load test without leave is an attack; say --i-own-this-server"
            )));
        }
        all.push(target);
    }
    if all.is_empty() { Err(BenchError::Refused("no --server is named".into())) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(address: &str, is_own: bool) -> RunningServer {
        let addresses = vec![address.to_owned()];
        RunningServer { addresses, domain: "localhost".into(), pids: Vec::new(), ca: None, is_own }
    }

    #[test]
    fn only_this_machine_is_loaded_without_leave() {
        assert!(targets(&running("127.0.3.4:5222", false)).is_ok());
        assert!(targets(&running("192.0.2.1:5222", false)).unwrap_err().to_string().contains("attack"));
        assert!(targets(&running("192.0.2.1:5222", true)).is_ok());
        assert!(targets(&running("127.0.0.1", true)).is_err());
    }
}
