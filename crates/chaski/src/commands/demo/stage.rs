//! The server of a demo: this binary, started as anybody starts it, on ports that the system chooses, in a directory that goes with it.

use crate::failure::Failure;
use chaski_client::local::LocalServer;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// A server starts in less than a second.
const PATIENCE: Duration = Duration::from_secs(30);

const CONFIG: &str = "shards = 1\n\
    [[c2s]]\nlisten = \"127.0.0.1:0\"\ntls = \"direct\"\n\
    [http]\nlisten = \"127.0.0.1:0\"\nprivate_listen = \"\"\n\
    [log]\nlevel = \"info\"\n";

/// Ends with its server.
pub(super) struct Stage {
    /// Where it is.
    pub(super) server: LocalServer,
    log: Lines<BufReader<ChildStderr>>,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn start() -> Result<Self, Failure> {
        let dir = tempfile::tempdir().map_err(|error| {
            Failure::new(format_args!("can't make a directory for the demo's server: {error}; set TMPDIR to a place that can be written to"))
        })?;
        let config = dir.path().join("chaski.toml");
        std::fs::write(&config, CONFIG)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(dir.path().join("data"))
            .env("XDG_DATA_HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| Failure::new("the demo's server has no log"))?;
        let mut log = BufReader::new(stderr).lines();
        wait_for(&mut log, "ready").await?;
        let server = LocalServer::all(&dir.path().join("chaski")).pop();
        let server = server.ok_or_else(|| Failure::new("the demo's server did not say where it is"))?;
        Ok(Self { server, log, _child: child, _dir: dir })
    }

    /// The code that a phone with this number gets: this server writes it to its log.
    pub(super) async fn code_for(&mut self, number: &str) -> Result<String, Failure> {
        let line = wait_for(&mut self.log, &format!("code for {number}: ")).await?;
        let code = line.split(&format!("{number}: ")).nth(1).and_then(|rest| rest.get(..6));
        code.map(str::to_owned).ok_or_else(|| Failure::new("the demo's server wrote no code"))
    }
}

/// The next line of the log with this text.
async fn wait_for(log: &mut Lines<BufReader<ChildStderr>>, text: &str) -> Result<String, Failure> {
    let mut last = String::new();
    let found = async {
        while let Some(line) = log.next_line().await? {
            if line.contains(text) {
                return Ok(Some(line));
            }
            last = line;
        }
        Ok::<_, std::io::Error>(None)
    };
    match timeout(PATIENCE, found).await {
        Ok(Ok(Some(line))) => Ok(line),
        Ok(Ok(None)) => Err(Failure::new(format_args!("the demo's server has ended: {last}"))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            Err(Failure::new(format_args!("the demo's server said nothing of \"{text}\" in time: {last}")))
        }
    }
}
