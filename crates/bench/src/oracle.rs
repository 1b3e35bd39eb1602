//! Whether anybody can tell who is registered: probes in every way of asking ([`ways`]), half of them about numbers that have an account and
//! half about numbers that nobody has, and what a classifier learns of the answers ([`judge`]). The same for contents of files that somebody
//! else has, or nobody ([`media`]).
//!
//! The accounts are online, or in the server's memory, or in its store alone; some have blocked who asks. The server is started anew for each
//! way, so that no way finds in memory what another has asked for. A way *fails* if the classifier is right in more than 52 of 100
//! and chance does not explain it, or if one kind of number was ever answered with bytes, or in an order, that the other never was.
//!
//! Limits against guessing are set so high that they are never reached: what is measured is answers, not refusals. (That a
//! refusal tells no more is `tests/edge/strangers.rs` of the server.)

mod judge;
pub(crate) mod line;
mod media;
mod ways;

pub use judge::Told;

use crate::accounts;
use crate::error::BenchError;
use crate::progress::Progress;
use crate::server::{Listener, Rig};
use line::Line;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use ways::{ASKERS, Answer, Ask, Asker, Ports, WAYS, Way};

/// The first number that nobody has: spelled like the others.
const NOBODY: usize = 5_000_000;
/// What is set so that nothing but answers is measured.
const CONFIG: &str = "shards = 2\n[registration]\niterations_vary = false\n[limits]\nwrong_keys = 1000000\n\
                      wrong_keys_per_hour = 1000000\nnetwork_wrong_keys = 1000000\nnetwork_wrong_keys_per_hour = 1000000\n\
                      [media]\nuploads = 1000000\nuploads_per_hour = 1000000\nupload_bytes = 1000000000000\n\
                      upload_bytes_per_hour = 1000000000000\n";
/// Longest example of an answer in a complaint.
const EXAMPLE_CHARS: usize = 300;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `chaski` binary.
    pub binary: PathBuf,
    /// An empty directory, or one of an earlier run.
    pub dir: PathBuf,
    /// Probes in each way.
    pub probes: usize,
    /// Numbers that have an account; as many that nobody has are asked about.
    pub accounts: usize,
    /// Only ways whose names begin so; empty: all.
    pub ways: Vec<String>,
    /// Whether only bytes and order are judged, and what time tells is reported.
    pub is_untimed: bool,
    /// Decides about everything that is random here.
    pub seed: u64,
    /// Whether to show no progress.
    pub quiet: bool,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of each way.
    pub ways: Vec<Told>,
    /// What is wrong, in words.
    pub complaints: Vec<String>,
}

impl Report {
    /// Whether nothing was learned.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            "way               probes   right, 95 %            median of accounts, of nobody".to_owned(),
        ];
        lines.extend(self.ways.iter().map(|told| {
            format!(
                "{:<16} {:>7}   {:.1} % ({:.1} to {:.1})   {} and {} µs",
                told.way,
                told.probes,
                told.right * 100.0,
                told.low * 100.0,
                told.high * 100.0,
                told.somebody_us,
                told.nobody_us
            )
        }));
        lines.extend(self.complaints.iter().map(|complaint| format!("COMPLAINT  {complaint}")));
        lines.push(if self.passed() { "Passed: nobody learns." } else { "FAILED." }.into());
        lines
    }
}

/// How an account is there when it is asked about: by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Online,
    Resident,
    Away,
    BlockerOnline,
    BlockerAway,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Online, Self::Resident, Self::Away, Self::BlockerOnline, Self::BlockerAway];

    fn of(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.probes < 40 || !(10..NOBODY / 2).contains(&options.accounts) {
        return Err(BenchError::Refused("--probes must be at least 40, and --accounts at least 10".into()));
    }
    let is_asked = |way: &Way| {
        options.ways.is_empty() || options.ways.iter().any(|name| way.name.starts_with(name.as_str()))
    };
    let ways: Vec<(usize, Way)> = WAYS.into_iter().enumerate().filter(|(_, way)| is_asked(way)).collect();
    let rig = Rig::prepare(options.binary.clone(), &options.dir, CONFIG)?;
    // Those who ask come behind those who are asked about.
    rig.import(options.seed, options.accounts + ASKERS).await?;
    let ports = Ports { plain: rig.port(Listener::Plain), http: rig.http_port() };
    let stage = Stage { options: options.clone(), ports };
    let mut server = rig.spawn()?;
    server.ready().await?;
    stage.clone().away(|stage| stage.block()).await?;
    stopped(server).await?;
    let mut progress = Progress::new(ways.len() as u64, options.quiet);
    let mut report = Report { ways: Vec::new(), complaints: Vec::new() };
    for (index, way) in ways {
        let mut server = rig.spawn()?;
        server.ready().await?;
        let answers = stage.clone().away(move |stage| stage.probe(index, way)).await?;
        stopped(server).await?;
        let told = judge::judge(way.name, &answers, options.seed);
        report.complaints.extend(complaint(&told, options.is_untimed));
        let told_right = told.right;
        report.ways.push(told);
        let done = report.ways.len() as u64;
        progress.at(done, || format!("{}: right in {:.1} of 100", way.name, told_right * 100.0));
    }
    if options.ways.is_empty() || options.ways.iter().any(|name| media::NAME.starts_with(name.as_str())) {
        let mut server = rig.spawn()?;
        server.ready().await?;
        let pid = server.pid();
        let answers = stage.away(move |stage| media::probe(stage, pid)).await?;
        stopped(server).await?;
        for (way, answers) in answers {
            let told = judge::judge(way, &answers, options.seed);
            report.complaints.extend(complaint(&told, options.is_untimed));
            report.ways.push(told);
        }
    }
    progress.finish();
    Ok(report)
}

async fn stopped(server: crate::server::Running) -> Result<(), BenchError> {
    match server.stop().await? {
        true => Ok(()),
        false => Err(BenchError::Server("the server did not stop in order after SIGTERM".into())),
    }
}

fn complaint(told: &Told, is_untimed: bool) -> Option<String> {
    let way = told.way;
    if let Some(example) = &told.example {
        let example: String = example.chars().take(EXAMPLE_CHARS).collect();
        return Some(format!("{way}: the answers tell, heard {example}"));
    }
    (told.is_learned() && !is_untimed)
        .then(|| format!("{way}: right in {:.1} of 100, by time alone", told.right * 100.0))
}

/// Where it happens.
#[derive(Clone)]
struct Stage {
    options: Options,
    ports: Ports,
}

impl Stage {
    /// On a thread that may wait for sockets.
    async fn away<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BenchError> {
        let done = tokio::task::spawn_blocking(move || work(&self)).await;
        let done = done.map_err(|error| BenchError::Server(format!("asking panicked: {error}")))?;
        done.map_err(BenchError::io("asking failed"))
    }

    fn session(&self, account: usize) -> io::Result<Line> {
        Line::session(
            self.ports.plain,
            &accounts::number(account),
            &accounts::key(self.options.seed, account),
        )
    }

    /// Some block whoever is going to ask.
    fn block(&self) -> io::Result<()> {
        let askers = self.options.accounts..self.options.accounts + ASKERS;
        let items = askers.map(|asker| format!("<item jid='{}@localhost'/>", accounts::number(asker)));
        let items: String = items.collect();
        let blockers = (0..self.options.accounts)
            .filter(|index| matches!(Kind::of(*index), Kind::BlockerOnline | Kind::BlockerAway));
        for blocker in blockers {
            let mut line = self.session(blocker)?;
            line.say(&format!(
                "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{items}</block></iq>"
            ))?;
            line.until("id='b'")?;
            line.say("</stream:stream>")?;
            line.until("</stream:stream>")?;
        }
        Ok(())
    }

    /// Those who are to be there come; the sessions that are to last.
    fn populate(&self) -> io::Result<Vec<Line>> {
        let mut online = Vec::new();
        for account in 0..self.options.accounts {
            match Kind::of(account) {
                Kind::Away | Kind::BlockerAway => {}
                Kind::Online | Kind::BlockerOnline => {
                    let mut line = self.session(account)?;
                    line.say("<presence/>")?;
                    online.push(line);
                }
                Kind::Resident => {
                    let mut line = self.session(account)?;
                    line.say("</stream:stream>")?;
                    line.until("</stream:stream>")?;
                }
            }
        }
        Ok(online)
    }

    /// Asks in this way, so many times.
    fn probe(&self, index: usize, way: Way) -> io::Result<Vec<Answer>> {
        let online = self.populate()?;
        let mut rng = StdRng::seed_from_u64(self.options.seed ^ (index as u64 + 1) << 32);
        let mut plan: Vec<bool> = (0..self.options.probes).map(|n| n.is_multiple_of(2)).collect();
        plan.shuffle(&mut rng);
        let mut asked = HashSet::new();
        let plan: Vec<(bool, bool, String)> = plan
            .into_iter()
            .map(|is_somebody| {
                let account = rng.random_range(0..self.options.accounts);
                let number = accounts::number(if is_somebody { account } else { NOBODY + account });
                (is_somebody, !asked.insert(number.clone()), number)
            })
            .collect();
        let answers = match way.ask {
            Ask::Stanza(stanza, is_answered) => {
                self.probe_as_accounts(&plan, (stanza, is_answered), way.at_a_time())
            }
            ask => self.probe_as_nobody(&plan, ask, way.at_a_time()),
        };
        drop(online);
        answers
    }

    /// So many accounts at a time, each of which has a part of the probes: what it was told before is its own.
    fn probe_as_accounts(
        &self,
        plan: &[(bool, bool, String)],
        (stanza, is_answered): (&str, bool),
        at_a_time: usize,
    ) -> io::Result<Vec<Answer>> {
        let work = |asker: usize, part: &[(bool, bool, String)]| {
            let key = accounts::key(self.options.seed, asker);
            let mut asker = Asker::log_in(self.ports, &accounts::number(asker), &key)?;
            let mut asked = HashSet::new();
            let answers = part.iter().map(|(is_somebody, _, number)| {
                let planned = (*is_somebody, !asked.insert(number), String::new());
                Ok(answer(&planned, asker.ask(stanza, is_answered, number)?))
            });
            answers.collect::<io::Result<Vec<Answer>>>()
        };
        std::thread::scope(|scope| {
            let parts = plan.chunks(plan.len().div_ceil(at_a_time)).enumerate();
            let askers = parts.map(|(n, part)| scope.spawn(move || work(self.options.accounts + n, part)));
            let askers: Vec<_> = askers.collect();
            let answers = askers
                .into_iter()
                .map(|asker| asker.join().unwrap_or_else(|_| Err(io::Error::other("asking panicked"))));
            Ok(answers.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
    }

    /// So many at a time, each of whom takes the next probe.
    fn probe_as_nobody(
        &self,
        plan: &[(bool, bool, String)],
        ask: Ask,
        at_a_time: usize,
    ) -> io::Result<Vec<Answer>> {
        let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(plan.len())));
        let work = || -> io::Result<()> {
            while let Some(planned) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                let heard = ways::ask_as_nobody(ask, self.ports, &planned.2)?;
                answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer(planned, heard));
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..at_a_time).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err(io::Error::other("asking panicked")))
            })
        })?;
        Ok(answers.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

fn answer((is_somebody, is_again, _): &(bool, bool, String), (form, us): (String, u64)) -> Answer {
    let (bytes, pieces) = (form.len(), form.matches('<').count());
    Answer { is_somebody: *is_somebody, is_again: *is_again, bytes, pieces, form, us }
}
