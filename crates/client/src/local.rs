//! Servers that a developer runs on this machine: where they are and whose certificates to believe there.
//!
//! A server with a development certificate tells of itself in a file of its user's ([`LocalServer::announce`]), so that a
//! client of the same user needs to be told nothing. Whoever can write that file can do whatever the user can, so what
//! stands there is believed. Called by the binary's `serve` and by `chaski-chat`.
//!
//! Promises: what is found runs, as far as its process id tells; what a crash has left is taken away by whoever looks.

use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A server that runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalServer {
    /// Its process.
    pub pid: u32,
    /// The domain of its addresses.
    pub domain: String,
    /// Its authority's certificate (PEM).
    pub ca: PathBuf,
    /// Where it takes registrations, over HTTPS.
    pub https: SocketAddr,
    /// Where clients connect with TLS from the first byte, if it has such a listener.
    pub direct: Option<SocketAddr>,
    /// Where clients connect with STARTTLS.
    pub starttls: Option<SocketAddr>,
}

/// The announcement; gone when this is dropped.
#[derive(Debug)]
pub struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Where a user's programs keep what they have for long (XDG Base Directory Specification). `None`: nowhere.
pub fn data_home() -> Option<PathBuf> {
    let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    home("XDG_DATA_HOME")
        .map(|data| data.join("chaski"))
        .or_else(|| home("HOME").map(|home| home.join(".local/share/chaski")))
}

impl LocalServer {
    /// Tells of it under `home` ([`data_home`]).
    pub fn announce(&self, home: &Path) -> io::Result<Announced> {
        let dir = home.join("servers");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let file = dir.join(format!("{}.json", self.pid));
        let beside = file.with_extension("new");
        fs::write(&beside, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&beside, &file)?;
        Ok(Announced(file))
    }

    /// All that run, the last one started first.
    pub fn all(home: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(home.join("servers")) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let server = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
            match server.filter(Self::runs) {
                Some(server) => {
                    found.push((entry.metadata().and_then(|about| about.modified()).ok(), server))
                }
                None if path.extension().is_some_and(|end| end == "json") => drop(fs::remove_file(&path)),
                None => {}
            }
        }
        found.sort_by_key(|(started, _)| std::cmp::Reverse(*started));
        found.into_iter().map(|(_, server)| server).collect()
    }

    fn runs(&self) -> bool {
        self.ca.exists() && Path::new("/proc").join(self.pid.to_string()).exists()
    }

    /// Where to register.
    pub fn register_url(&self) -> String {
        match reachable(self.https) {
            at if at.ip().is_loopback() => format!("https://localhost:{}", at.port()),
            at => format!("https://{at}"),
        }
    }

    /// Where to connect, and whether TLS begins there with the first byte.
    pub fn client_address(&self) -> Option<(SocketAddr, bool)> {
        let direct = self.direct.map(|at| (reachable(at), true));
        direct.or_else(|| self.starttls.map(|at| (reachable(at), false)))
    }
}

/// From this machine.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(dir: &Path, pid: u32) -> LocalServer {
        LocalServer {
            pid,
            domain: "localhost".into(),
            ca: dir.join("ca.pem"),
            https: "0.0.0.0:8080".parse().unwrap(),
            direct: None,
            starttls: Some("[::]:5222".parse().unwrap()),
        }
    }

    #[test]
    fn what_runs_is_found_and_what_does_not_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        assert!(LocalServer::all(dir.path()).is_empty());
        let ours = server(dir.path(), std::process::id());
        let announced = ours.announce(dir.path()).unwrap();
        assert!(LocalServer::all(dir.path()).is_empty(), "its certificate is gone");
        fs::write(&ours.ca, "PEM").unwrap();
        drop(announced);
        let announced = ours.announce(dir.path()).unwrap();
        // No process has this id: the largest that Linux gives is 2^22.
        let gone = server(dir.path(), 1 << 30).announce(dir.path()).unwrap();
        fs::write(dir.path().join("servers/x.json"), "{").unwrap();
        assert_eq!(LocalServer::all(dir.path()), [ours]);
        assert_eq!(fs::read_dir(dir.path().join("servers")).unwrap().count(), 1);
        drop((announced, gone));
        assert!(LocalServer::all(dir.path()).is_empty());
    }

    #[test]
    fn addresses_are_reachable_from_here() {
        let dir = tempfile::tempdir().unwrap();
        let server = server(dir.path(), 1);
        assert_eq!(server.register_url(), "https://localhost:8080");
        assert_eq!(server.client_address(), Some(("[::1]:5222".parse().unwrap(), false)));
        let elsewhere = LocalServer { https: "192.0.2.1:443".parse().unwrap(), ..server };
        assert_eq!(elsewhere.register_url(), "https://192.0.2.1:443");
    }
}
