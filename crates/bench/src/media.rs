//! Files under load: uploads, downloads, parts, slow downloads, and what they take of the server; how long messages take beside them.
//!
//! The files are as large as a day's in a messenger: of 47, 32 are pictures, 10 voice notes and 5 videos, each kind log-normal (the sizes are
//! chosen, nothing is published of them). A server of its own gives slots for them; another one, with `--url`, takes files by `PUT`
//! where it is told to. Connections are kept, each a thread that waits ([`web`]); so the generator needs little of what the server needs.

mod chat;
mod web;

use crate::accounts;
use crate::error::BenchError;
use crate::oracle::line::Line;
use crate::server::process::usage_of_all;
use crate::server::{Listener, Rig};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;
use web::{Place, Web};

/// Nothing but the transfers is to be a bound.
const CONFIG: &str = "shards = 1\n[media]\nuploads = 1000000\nuploads_per_hour = 1000000\nupload_bytes = 1000000000000\n\
    upload_bytes_per_hour = 1000000000000\nquota_bytes = 1000000000000\ntransfers = 8192\ntransfers_per_network = 8192\n";
/// Of each kind: how many of 47, the median and the logarithm's standard deviation.
const KINDS: [(u32, f64, f64); 3] = [(32, 150e3, 0.8), (10, 30e3, 0.8), (5, 2e6, 0.8)];
/// Largest file.
const FILE_BYTES_MAX: f64 = 20e6;
/// Bytes of a part.
const PART_BYTES: u64 = 64 << 10;
/// Of the file that is fetched slowly.
const SLOW_FILE_BYTES: usize = 16 << 20;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `chaski` binary.
    pub binary: PathBuf,
    /// An empty directory, or one of an earlier run.
    pub dir: PathBuf,
    /// Another server.
    pub url: Option<String>,
    /// Its processes.
    pub pids: Vec<u32>,
    /// Over TLS.
    pub tls: bool,
    /// How many files.
    pub files: usize,
    /// How often each is fetched.
    pub gets: usize,
    /// Connections at once.
    pub connections: usize,
    /// Slow downloads at once.
    pub slow: usize,
    /// Seconds of messages alone, and of messages beside files.
    pub chat_seconds: u64,
    /// Decides about everything that is random.
    pub seed: u64,
}

/// One kind of load.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Which.
    pub what: &'static str,
    /// Requests.
    pub requests: usize,
    /// Bytes of files.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The server's time on processors.
    pub cpu_s: f64,
    /// Of a request, in milliseconds.
    pub p50_ms: f64,
    /// See there.
    pub p99_ms: f64,
}

impl Part {
    /// The server's seconds for a gigabyte.
    fn cpu_s_per_gb(&self) -> f64 {
        self.cpu_s / (self.bytes as f64 / 1e9)
    }
}

/// What came out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Of each kind.
    pub parts: Vec<Part>,
    /// Memory that one slow download takes, of which there were how many.
    pub slow: Option<(usize, u64)>,
    /// A message's way in milliseconds, p50 and p99: alone, and beside files.
    pub chat: Option<[(f64, f64); 2]>,
}

impl Report {
    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["load     requests/s     MB/s   CPU s per GB   p50 ms   p99 ms".to_owned()];
        lines.extend(self.parts.iter().map(|part| {
            let (rate, bytes) = (part.requests as f64 / part.seconds, part.bytes as f64 / part.seconds / 1e6);
            let (what, cpu) = (part.what, part.cpu_s_per_gb());
            format!(
                "{what:<8} {rate:>10.0} {bytes:>8.0} {cpu:>14.3} {:>8.2} {:>8.2}",
                part.p50_ms, part.p99_ms
            )
        }));
        lines.extend(
            self.slow.map(|(count, each)| format!("{count} slow downloads: {each} bytes of memory each")),
        );
        lines.extend(self.chat.map(|[(p50, p99), (p50_beside, p99_beside)]| {
            format!("a message alone: p50 {p50:.2} ms, p99 {p99:.2} ms; beside files: p50 {p50_beside:.2} ms, p99 {p99_beside:.2} ms")
        }));
        lines
    }
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    let options = options.clone();
    let failed = BenchError::io("the load failed");
    if let Some(url) = options.url.clone() {
        let place = Place::parse(&url)
            .ok_or_else(|| BenchError::Refused(format!("{url} is no URL on this machine")))?;
        let load = move || Load { place, pids: options.pids.clone(), line: None, options }.run(None);
        return away(load).await?.map_err(failed);
    }
    let rig = Rig::prepare(options.binary.clone(), &options.dir, CONFIG)?;
    rig.import(options.seed, 2).await?;
    let mut server = rig.spawn()?;
    server.ready().await?;
    let pid = server.pid().unwrap_or_default();
    let place = Place { port: rig.http_port(), is_tls: options.tls, path: String::new() };
    let port = rig.port(Listener::Plain);
    let work = move || {
        if options.chat_seconds > 0 {
            chat::pin(pid)?;
        }
        let line = Line::session(port, &accounts::number(0), &accounts::key(options.seed, 0))?;
        Load { place, pids: vec![pid], line: Some(Mutex::new(line)), options }.run(Some(port))
    };
    let report = away(work).await?.map_err(failed);
    server.stop().await?;
    report
}

async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, BenchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BenchError::Server(format!("the load panicked: {error}")))
}

struct Load {
    place: Place,
    pids: Vec<u32>,
    /// Of the account that uploads, where slots are given.
    line: Option<Mutex<Line>>,
    options: Options,
}

/// What one request is about: a file, from where on, to where.
type Request = (usize, Option<u64>);

impl Load {
    fn run(self, chat: Option<u16>) -> io::Result<Report> {
        let mut rng = StdRng::seed_from_u64(self.options.seed);
        let sizes: Vec<usize> = (0..self.options.files).map(|_| size(&mut rng)).collect();
        let mut noise = vec![0; FILE_BYTES_MAX as usize];
        rng.fill(&mut noise[..]);
        let slots: Vec<(String, String)> =
            sizes.iter().enumerate().map(|(n, size)| self.slot(n, *size)).collect::<io::Result<_>>()?;
        let mut report = Report::default();
        let whole: Vec<Request> = (0..sizes.len()).map(|file| (file, None)).collect();
        report.parts.push(self.part("put", &whole, |web, (file, _)| {
            web.put(&slots[file].0, &noise[..sizes[file]]).map(|()| sizes[file] as u64)
        })?);
        let mut gets = whole.repeat(self.options.gets);
        gets.shuffle(&mut rng);
        let get = |web: &mut Web, (file, from): Request| {
            let got = web.get(&slots[file].1, from.map(|from| (from, from + PART_BYTES - 1)))?;
            let wanted = from.map_or(sizes[file] as u64, |_| PART_BYTES);
            if got == wanted {
                Ok(got)
            } else {
                Err(io::Error::other(format!("{got} bytes instead of {wanted}")))
            }
        };
        report.parts.push(self.part("get", &gets, get)?);
        let large: Vec<usize> = (0..sizes.len()).filter(|file| sizes[*file] as u64 > PART_BYTES).collect();
        let ranges: Vec<Request> = (0..gets.len().min(4 * large.len()))
            .map(|n| large[n % large.len()])
            .map(|file| (file, Some(rng.random_range(0..sizes[file] as u64 - PART_BYTES))))
            .collect();
        report.parts.push(self.part("ranges", &ranges, get)?);
        if let Some(port) = chat.filter(|_| self.options.chat_seconds > 0) {
            let time = std::time::Duration::from_secs(self.options.chat_seconds);
            let talk = || chat::talk(port, self.options.seed, time);
            let alone = talk()?;
            let end = Instant::now() + time;
            let beside = std::thread::scope(|scope| {
                let load = scope.spawn(|| {
                    while Instant::now() < end {
                        self.part("get", &gets, |web, request| {
                            if Instant::now() < end { get(web, request) } else { Ok(0) }
                        })?;
                    }
                    io::Result::Ok(())
                });
                let beside = talk();
                load.join().unwrap_or_else(|_| Err(io::Error::other("the load panicked")))?;
                beside
            })?;
            report.chat = Some([alone, beside]);
        }
        if self.options.slow > 0 {
            report.slow = Some((self.options.slow, self.slow(&noise[..SLOW_FILE_BYTES])?));
        }
        Ok(report)
    }

    /// The paths to put and to get.
    fn slot(&self, n: usize, size: usize) -> io::Result<(String, String)> {
        let Some(line) = &self.line else {
            let path = format!("{}/{n}.jpg", self.place.path);
            return Ok((path.clone(), path));
        };
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        line.say(&format!(
            "<iq type='get' id='u' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='{n}.jpg' size='{size}' \
             content-type='image/jpeg'/></iq>"
        ))?;
        let slot = line.until("</iq>")?;
        let path = |before: &str| {
            let url = slot.split_once(before)?.1.split_once('\'')?.0;
            Some(format!("/{}", url.strip_prefix("https://")?.split_once('/')?.1))
        };
        path("<put url='").zip(path("<get url='")).ok_or_else(|| io::Error::other(format!("no slot: {slot}")))
    }

    /// All these requests, on all connections at once.
    fn part(
        &self,
        what: &'static str,
        requests: &[Request],
        ask: impl Fn(&mut Web, Request) -> io::Result<u64> + Sync,
    ) -> io::Result<Part> {
        let (next, begun, before) = (AtomicUsize::new(0), Instant::now(), self.cpu_s());
        let work = || {
            let (mut web, mut times, mut bytes) = (Web::to(&self.place)?, Vec::new(), 0);
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                bytes += ask(&mut web, *request)?;
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            io::Result::Ok((times, bytes))
        };
        let done: Vec<(Vec<f64>, u64)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.options.connections).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err(io::Error::other("a connection panicked"));
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(panicked))
                .collect::<io::Result<_>>()
        })?;
        let (seconds, cpu_s) = (begun.elapsed().as_secs_f64(), self.cpu_s() - before);
        let bytes = done.iter().map(|(_, bytes)| bytes).sum();
        let (p50_ms, p99_ms) = quantiles(done.into_iter().flat_map(|(times, _)| times).collect());
        Ok(Part { what, requests: requests.len(), bytes, seconds, cpu_s, p50_ms, p99_ms })
    }

    /// Memory of a download of which nothing is read.
    fn slow(&self, content: &[u8]) -> io::Result<u64> {
        let (put, get) = self.slot(self.options.files, content.len())?;
        Web::to(&self.place)?.put(&put, content)?;
        let resident = || usage_of_all(&self.pids).map_or(0, |usage| usage.resident_bytes);
        let before = resident();
        let mut slow = Vec::with_capacity(self.options.slow);
        for _ in 0..self.options.slow {
            let mut web = Web::to(&self.place)?;
            web.ask(&get, None)?;
            slow.push(web);
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
        Ok(resident().saturating_sub(before) / self.options.slow as u64)
    }

    fn cpu_s(&self) -> f64 {
        usage_of_all(&self.pids).map_or(0.0, |usage| usage.cpu.as_secs_f64())
    }
}

/// Of p50 and p99.
fn quantiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}

/// Of a file.
fn size(rng: &mut StdRng) -> usize {
    let mut kind = rng.random_range(0..KINDS.iter().map(|(weight, ..)| weight).sum());
    let of_kind = KINDS.iter().find(|(weight, ..)| {
        let is_it = kind < *weight;
        kind = kind.saturating_sub(*weight);
        is_it
    });
    let (_, median, deviation) = of_kind.copied().unwrap_or(KINDS[0]);
    // Box and Muller.
    let (a, b): (f64, f64) = (rng.random_range(f64::EPSILON..1.0), rng.random());
    let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
    (median * (deviation * normal).exp()).clamp(1e3, FILE_BYTES_MAX) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_a_day() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut sizes: Vec<usize> = (0..10_000).map(|_| size(&mut rng)).collect();
        sizes.sort_unstable();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((80_000..200_000).contains(&sizes[5_000]), "{}", sizes[5_000]);
        assert!((300_000..700_000).contains(&mean), "{mean}");
    }
}
