//! A server of one test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server and what it has said.
pub(crate) struct Server {
    child: Child,
    pub(crate) dir: PathBuf,
    /// What it said on stdout before it was ready.
    pub(crate) banner: String,
    log: Receiver<String>,
    _owned: Option<tempfile::TempDir>,
}

/// Runs the binary to its end.
pub(crate) fn chaski(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaski")).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Its stdout, for a command that must succeed.
pub(crate) fn succeed(args: &[&str]) -> String {
    let output = chaski(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its one line of complaint, for a command that must fail with exit code 1.
pub(crate) fn fail(args: &[&str]) -> String {
    let output = chaski(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    let complaints: Vec<&str> = stderr.lines().filter(|line| line.starts_with("chaski: ")).collect();
    assert_eq!(complaints.len(), 1, "{args:?}: {stderr}");
    complaints[0].trim_start_matches("chaski: ").to_string()
}

/// Ports that the system chooses, and a plain listener for simple clients.
pub(crate) const ANY_PORTS: &str = "shards = 2\n\
    [[c2s]]\nlisten = \"127.0.0.1:0\"\ntls = \"starttls\"\n\
    [[c2s]]\nlisten = \"127.0.0.1:0\"\ntls = \"direct\"\n\
    [[c2s]]\nlisten = \"127.0.0.1:0\"\ntls = \"terminated\"\n";
pub(crate) const ANY_HTTP: &str = "[http]\nlisten = \"127.0.0.1:0\"\nprivate_listen = \"127.0.0.1:0\"\n";

impl Server {
    /// A server on its own directory; `extra` goes to the end of its configuration file.
    pub(crate) fn start(extra: &str) -> Self {
        let owned = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(owned.path(), extra);
        server._owned = Some(owned);
        server
    }

    /// A server on a directory that outlives it.
    pub(crate) fn start_in(dir: &Path, extra: &str) -> Self {
        Self::start_with(dir, &format!("{ANY_PORTS}{ANY_HTTP}{extra}"))
    }

    /// A server with exactly this configuration.
    pub(crate) fn start_with(dir: &Path, text: &str) -> Self {
        std::fs::write(dir.join("chaski.toml"), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_chaski"))
            .args(["serve", "--config"])
            .arg(dir.join("chaski.toml"))
            .arg("--data")
            .arg(dir.join("data"))
            .env("XDG_DATA_HOME", dir.join("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let log = follow(child.stderr.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ready.") {
            if stdout.read_line(&mut banner).unwrap() == 0 {
                let _ = child.wait();
                panic!("did not start: {banner}{}", log.iter().collect::<Vec<_>>().join("\n"));
            }
        }
        Self { child, dir: dir.to_path_buf(), banner, log, _owned: None }
    }

    pub(crate) fn data(&self) -> String {
        self.dir.join("data").display().to_string()
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.join("chaski.toml")
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.join("data/tls/ca.pem")
    }

    /// The address on the banner's line that has both words.
    fn address(&self, what: &str, also: &str) -> SocketAddr {
        let line =
            self.banner.lines().find(|line| line.trim_start().starts_with(what) && line.contains(also));
        let word =
            line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("{}", self.banner));
        let address =
            word.trim_start_matches("https://").trim_start_matches("http://").split('/').next().unwrap();
        address.parse().unwrap()
    }

    pub(crate) fn direct_tls(&self) -> SocketAddr {
        self.address("clients", "direct TLS")
    }

    pub(crate) fn plain(&self) -> SocketAddr {
        self.address("clients", "plain")
    }

    pub(crate) fn starttls(&self) -> SocketAddr {
        self.address("clients", "STARTTLS")
    }

    pub(crate) fn web(&self) -> SocketAddr {
        self.address("web", "https")
    }

    pub(crate) fn private(&self) -> SocketAddr {
        self.address("metrics", "http")
    }

    /// `chaski ctl` on this server, which must succeed.
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        let data = self.data();
        let mut all = vec!["ctl", "--data", &data];
        all.extend_from_slice(args);
        succeed(&all)
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: a plain system call on our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    /// Waits for a line of the log that contains this.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no {text:?} in the log:\n{}", seen.join("\n")),
            }
        }
    }

    /// Ends it with this signal; its exit status and the rest of its log.
    pub(crate) fn end(mut self, signal: libc::c_int) -> (ExitStatus, String) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        let rest: Vec<String> = self.log.iter().collect();
        (status, rest.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stderr: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
