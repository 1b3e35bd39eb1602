//! A server process of our own on loopback: its directory and configuration, its start, its end, its accounts.
//!
//! Promises: it is our child and nobody else's; it is gone when [`Running`] is dropped.

use crate::accounts;
use crate::error::BenchError;
use chaski_client::{Security, Target, Trust};
use rand::RngExt;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub mod process;

/// Most time from start to readiness: after a crash the journal is read.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Ports below those that the system gives to outgoing connections: a client that tries to connect while the server is down
/// could else be given the server's port, and meet itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The listeners.
#[derive(Debug, Clone, Copy)]
struct Ports {
    direct: u16,
    starttls: u16,
    plain: u16,
    http: u16,
}

/// A place where a server can run.
#[derive(Debug, Clone)]
pub struct Rig {
    binary: PathBuf,
    dir: PathBuf,
    ports: Ports,
    /// Of the accounts' keys, if they are others than an account usually has.
    iterations: Option<u32>,
}

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Direct TLS.
    Tls,
    /// STARTTLS.
    StartTls,
    /// The listener for a TLS terminator: no TLS.
    Plain,
}

impl Rig {
    /// Prepares `dir`, which must be empty, not there, or from an earlier run. `extra`: more lines of configuration.
    pub fn prepare(binary: PathBuf, dir: &Path, extra: &str) -> Result<Self, BenchError> {
        let marker = dir.join("chaski-bench");
        let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !marker.exists() {
            let dir = dir.display();
            return Err(BenchError::Refused(format!("{dir} holds other things; name an empty directory")));
        }
        let what = || format!("can't prepare {}", dir.display());
        if occupied {
            let _ = fs::remove_dir_all(dir.join("data"));
        }
        fs::create_dir_all(dir).map_err(BenchError::io(what()))?;
        fs::write(&marker, "").map_err(BenchError::io(what()))?;
        let dir = fs::canonicalize(dir).map_err(BenchError::io(what()))?;
        // Keys are random, and rounds would only cost time. A configuration that says something else is about logins as they are.
        let varies = "[registration]\niterations_vary = true\n";
        let (iterations, extra) = match extra {
            extra if extra.contains("iterations_vary") => (None, extra.to_owned()),
            extra if extra.contains("[registration]\n") => {
                (Some(1), extra.replacen("[registration]\n", varies, 1))
            }
            extra => (Some(1), format!("{extra}\n{varies}")),
        };
        let rig = Self { binary, ports: free_ports()?, dir, iterations };
        fs::write(rig.config(), rig.config_text(&extra)).map_err(BenchError::io(what()))?;
        Ok(rig)
    }

    fn config_text(&self, extra: &str) -> String {
        let Ports { direct, starttls, plain, http } = self.ports;
        format!(
            "data = {data:?}\n{extra}\n\
             [[c2s]]\nlisten = \"127.0.0.1:{direct}\"\ntls = \"direct\"\n\
             [[c2s]]\nlisten = \"127.0.0.1:{starttls}\"\ntls = \"starttls\"\n\
             [[c2s]]\nlisten = \"127.0.0.1:{plain}\"\ntls = \"terminated\"\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\nprivate_listen = \"\"\n\
             [log]\nlevel = \"warn\"\n",
            data = self.data()
        )
    }

    fn config(&self) -> PathBuf {
        self.dir.join("chaski.toml")
    }

    /// The server's data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the files of that take.
    pub fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.data())
    }

    /// What the server writes to its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Makes accounts; the server may run or not.
    pub async fn import(&self, seed: u64, count: usize) -> Result<(), BenchError> {
        let path = self.dir.join("accounts.csv");
        let what = || format!("can't write {}", path.display());
        let mut file = std::io::BufWriter::new(File::create(&path).map_err(BenchError::io(what()))?);
        accounts::write(seed, count, &mut file).map_err(BenchError::io(what()))?;
        std::io::Write::flush(&mut file).map_err(BenchError::io(what()))?;
        let path = path.display().to_string();
        match self.iterations {
            Some(iterations) => {
                self.ctl(&["account", "import", "--iterations", &iterations.to_string(), &path]).await
            }
            None => self.ctl(&["account", "import", &path]).await,
        }
    }

    /// `chaski ctl` with these arguments; the server may run or not.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<(), BenchError> {
        let output = Command::new(&self.binary)
            .args(["ctl", "--config"])
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(BenchError::io(format!("can't run {}", self.binary.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(BenchError::Server(format!(
            "ctl {} failed: {}",
            arguments[..2.min(arguments.len())].join(" "),
            said.trim()
        )))
    }

    /// Starts the server and does not wait for it.
    pub fn spawn(&self) -> Result<Running, BenchError> {
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.map_err(BenchError::io(format!("can't write {}", self.log().display())))?;
        let child = Command::new(&self.binary)
            .args(["serve", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::io(format!("can't start {}", self.binary.display())))?;
        Ok(Running { child, log: self.log(), is_ready: false })
    }

    /// The listener's port on 127.0.0.1.
    pub fn port(&self, listener: Listener) -> u16 {
        match listener {
            Listener::Tls => self.ports.direct,
            Listener::StartTls => self.ports.starttls,
            Listener::Plain => self.ports.plain,
        }
    }

    /// The HTTP listener's port on 127.0.0.1.
    pub fn http_port(&self) -> u16 {
        self.ports.http
    }

    /// Where its clients connect. The server must have run once for TLS: it makes its certificate then.
    pub fn target(&self, listener: Listener) -> Result<Target, BenchError> {
        let trust = || Trust::file(&self.data().join("tls/ca.pem"));
        let security = match listener {
            Listener::Plain => Security::Plain,
            Listener::Tls => Security::Direct(trust()?),
            Listener::StartTls => Security::StartTls(trust()?),
        };
        Ok(Target {
            host: "127.0.0.1".into(),
            port: self.port(listener),
            security,
            domain: "localhost".into(),
        })
    }
}

/// A server that runs, or is about to.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
    is_ready: bool,
}

impl Running {
    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) -> Result<(), BenchError> {
        let failed =
            |what: &str| BenchError::Server(format!("the server {what}; its log is {}", self.log.display()));
        if self.is_ready {
            return Ok(());
        }
        let Some(stdout) = self.child.stdout.as_mut() else { return Err(failed("has no output")) };
        let mut lines = BufReader::new(stdout).lines();
        let wait = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("Ready.") {
                    self.is_ready = true;
                    return Ok(());
                }
            }
            Err(failed("did not start"))
        };
        tokio::time::timeout(READY_TIMEOUT, wait)
            .await
            .unwrap_or_else(|_| Err(failed("took too long to start")))
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) -> Result<(), BenchError> {
        self.child.kill().await.map_err(BenchError::io("can't kill the server"))
    }

    /// Asks it to stop in order, and waits. True: it did, with exit code 0.
    pub async fn stop(mut self) -> Result<bool, BenchError> {
        if let Some(pid) = self.child.id() {
            // SAFETY: a plain system call on our own child, which has not been waited for.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
        }
        let end = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        Ok(end.is_ok_and(|status| status.is_ok_and(|status| status.success())))
    }
}

/// What the files of a directory take.
fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => std::os::unix::fs::MetadataExt::blocks(&found) * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

fn free_ports() -> Result<Ports, BenchError> {
    let mut rng = rand::rng();
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..1_000 {
        let port = rng.random_range(PORTS);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
        if let [(direct, _), (starttls, _), (plain, _), (http, _)] = held.as_slice() {
            return Ok(Ports { direct: *direct, starttls: *starttls, plain: *plain, http: *http });
        }
    }
    Err(BenchError::Refused("there are no free ports between 20000 and 32000".into()))
}
