//! What all loads share: a server (our own, or one that is named), accounts on it, sessions.

use crate::accounts;
use crate::error::BenchError;
use crate::progress::Progress;
use crate::server::process::{self, Usage};
use crate::server::{Listener, Rig, Running};
use chaski_client::{Client, ClientError, Security, Settings, Target, Trust, UNMARKED, message};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinSet;

/// Logins under way at once.
const LOGINS_AT_ONCE: usize = 64;
/// Descriptors for everything but sessions.
const OTHER_FILES: u64 = 64;

/// Where the load goes.
#[derive(Debug, Clone)]
pub struct Load {
    /// The `chaski` binary, for a server of our own.
    pub binary: PathBuf,
    /// Where a server of our own keeps its data.
    pub dir: PathBuf,
    /// A server that runs already.
    pub running: Option<RunningServer>,
    /// Direct TLS instead of the listener for a TLS terminator.
    pub tls: bool,
    /// Whence the accounts' keys follow.
    pub seed: u64,
    /// Whether to show no progress.
    pub quiet: bool,
}

/// A server that somebody else has started, with accounts imported from `chaski bench accounts`.
#[derive(Debug, Clone)]
pub struct RunningServer {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its domain.
    pub domain: String,
    /// Its process on this machine.
    pub pid: Option<u32>,
    /// The authority of its certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Somebody says that it may be loaded although it is on another machine.
    pub is_own: bool,
}

/// Reads `HOST:PORT`.
pub fn host_and_port(text: &str) -> Result<(String, u16), BenchError> {
    match chaski_client::target::split_host_port(text) {
        Some((host, Some(port))) => Ok((host.to_owned(), port)),
        _ => Err(BenchError::Refused(format!("--server {text} is not of the form HOST:PORT"))),
    }
}

/// A server under load.
pub(crate) struct LoadServer {
    pub(crate) target: Target,
    own: Option<Running>,
    pid: Option<u32>,
}

impl LoadServer {
    /// Starts a server with this many accounts, or takes the named one.
    pub(crate) async fn start(load: &Load, accounts: usize) -> Result<Self, BenchError> {
        if let Some(running) = &load.running {
            return Ok(Self { target: target(running, load.tls)?, own: None, pid: running.pid });
        }
        let rig = Rig::prepare(load.binary.clone(), &load.dir, "")?;
        rig.import(load.seed, accounts).await?;
        let mut server = rig.spawn()?;
        server.ready().await?;
        let listener = if load.tls { Listener::Tls } else { Listener::Plain };
        Ok(Self { target: rig.target(listener)?, pid: server.pid(), own: Some(server) })
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.pid.and_then(process::usage)
    }

    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        if let Some(own) = self.own {
            own.stop().await?;
        }
        Ok(())
    }
}

fn target(running: &RunningServer, tls: bool) -> Result<Target, BenchError> {
    let host = running.host.as_str();
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !is_here && !running.is_own {
        return Err(BenchError::Refused(format!(
            "{host} is another machine, and a load test without leave is an attack; say --i-own-this-server"
        )));
    }
    let security = match (tls, &running.ca) {
        (false, _) => Security::Plain,
        (true, Some(ca)) => Security::Direct(Trust::file(ca)?),
        (true, None) if is_here => Security::Direct(Trust::anybody_on_loopback()),
        (true, None) => Security::Direct(Trust::system()?),
    };
    Ok(Target { host: host.into(), port: running.port, security, domain: running.domain.clone() })
}

/// Refuses a run that would end in the middle for lack of descriptors.
pub(crate) fn check_open_files(sessions: u64) -> Result<(), BenchError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call gets a pointer to our own rlimit.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if known && limit.rlim_cur < sessions + OTHER_FILES {
        return Err(BenchError::Refused(format!(
            "{sessions} sessions need more open files than this process may have ({}); see chaski doctor",
            limit.rlim_cur
        )));
    }
    Ok(())
}

/// Logs the first `count` accounts in, in order.
pub(crate) async fn log_in(load: &Load, target: &Target, count: usize) -> Result<Vec<Client>, BenchError> {
    let mut progress = Progress::new(count as u64, load.quiet);
    let mut sessions: Vec<Option<Client>> = (0..count).map(|_| None).collect();
    let mut logins: JoinSet<(usize, Result<Client, ClientError>)> = JoinSet::new();
    let (mut next, mut done) = (0, 0);
    while done < count {
        while next < count && logins.len() < LOGINS_AT_ONCE {
            let key = accounts::key(load.seed, next);
            let mut settings = Settings::new(target.clone(), accounts::number(next), key);
            settings.login_timeout = Duration::from_secs(60);
            let index = next;
            logins.spawn(async move { (index, log_in_one(settings).await) });
            next += 1;
        }
        let Some(login) = logins.join_next().await else { break };
        let (index, client) = login.map_err(|error| BenchError::Server(error.to_string()))?;
        sessions[index] = Some(client.map_err(BenchError::client(accounts::number(index)))?);
        done += 1;
        progress.at(done as u64, || "sessions".into());
    }
    progress.finish();
    Ok(sessions.into_iter().flatten().collect())
}

async fn log_in_one(settings: Settings) -> Result<Client, ClientError> {
    let mut client = Client::new(settings);
    client.connect().await?;
    client.send(UNMARKED, message::presence())?;
    // Its own presence comes back: by then it is there.
    client.next().await?;
    Ok(client)
}

/// Ends sessions in order.
pub(crate) async fn log_out(sessions: Vec<Client>) {
    for mut client in sessions {
        client.close().await;
    }
}
