//! Kills the real server at random moments, under load, again and again: nothing that it accepted may be lost.
//!
//! Every peer sends numbered messages to every other and receives theirs, with stream management, and in different ways loses
//! its connection itself: see [`crate::peer`]. What was sent, accepted and received is told to one [`witness`], whose checker
//! judges. A server passes if, when all is quiet again, everything was received, and no promise was broken on the way.

use crate::error::BenchError;
use crate::peer::{Conduct, Manner, Peer, Phase};
use crate::progress::Progress;
use crate::server::{Listener, Rig, Running};
use crate::witness::{self, Totals, Witness};
use chaski_client::{Client, Event, Settings, UNMARKED, message};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a session of the final inspection waits for what must not come.
const INSPECTION: Duration = Duration::from_millis(500);
/// A kill in so many hits the server while it starts.
const EARLY_KILL_ONE_IN: u32 = 6;
/// The latest moment of such a kill.
const EARLY_KILL_MS_MAX: u64 = 150;
/// What the peers do themselves.
const MANNERS: [Manner; 4] = [Manner::Flapping, Manner::Absent, Manner::Steady, Manner::Sleeping];

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `chaski` binary.
    pub binary: PathBuf,
    /// An empty directory, or one of an earlier run.
    pub dir: PathBuf,
    /// How many times to kill.
    pub kills: u32,
    /// Decides about the moments of kills and everything else that is random here.
    pub seed: u64,
    /// How many peers; at least as many as there are ways to behave make sense.
    pub peers: usize,
    /// Messages per second and peer.
    pub rate: u32,
    /// The longest time that a server lives once it is ready.
    pub uptime_ms_max: u64,
    /// Whether to show no progress.
    pub quiet: bool,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// To do the same again.
    pub seed: u64,
    /// Kills that were done.
    pub kills: u32,
    /// What happened to the messages.
    #[serde(flatten)]
    pub totals: Totals,
    /// What was broken: the first of them.
    pub violations: Vec<String>,
    /// How many in all.
    pub violations_total: u64,
}

impl Report {
    /// Whether the server has passed.
    pub fn passed(&self) -> bool {
        self.violations_total == 0
    }
}

/// Does it.
pub async fn run(options: &Options) -> Result<Report, BenchError> {
    if options.peers < 2 || options.peers > witness::PEERS_MAX {
        return Err(BenchError::Refused(format!("--peers must be between 2 and {}", witness::PEERS_MAX)));
    }
    let rig = Rig::prepare(options.binary.clone(), &options.dir, "shards = 2")?;
    rig.import(options.seed, options.peers).await?;
    // Makes the certificate that the peers must trust.
    let mut server = rig.spawn()?;
    server.ready().await?;

    let witness = Arc::new(Mutex::new(Witness::new(options.seed, options.peers)));
    let (phase, phases) = watch::channel(Phase::Load);
    let mut peers = JoinSet::new();
    let conduct = Conduct { peers: options.peers, rate: options.rate, seed: options.seed, manners: &MANNERS };
    for index in 0..options.peers {
        let settings = settings(&rig, options.seed, index)?;
        peers.spawn(Peer::new(index, &conduct, settings, &rig, witness.clone(), phases.clone()).run());
    }
    let mut run = Run { rig: &rig, options, witness, rng: StdRng::seed_from_u64(options.seed) };
    let server = run.kill_often(server).await?;
    phase.send_replace(Phase::Drain);
    witness::drained(&run.witness).await;
    phase.send_replace(Phase::End);
    while peers.join_next().await.is_some() {}
    run.inspect().await?;
    if !server.stop().await? {
        run.note("the server did not stop in order after SIGTERM".into());
    }
    Ok(run.report())
}

/// Even peers use TLS, odd ones don't.
pub(crate) fn settings(rig: &Rig, seed: u64, index: usize) -> Result<Settings, BenchError> {
    let listener = if index.is_multiple_of(2) { Listener::Tls } else { Listener::Plain };
    let (number, key) = (crate::accounts::number(index), crate::accounts::key(seed, index));
    Ok(Settings {
        login_timeout: Duration::from_secs(10),
        ..Settings::new(rig.target(listener)?, number, key)
    })
}

struct Run<'a> {
    rig: &'a Rig,
    options: &'a Options,
    witness: Arc<Mutex<Witness>>,
    rng: StdRng,
}

impl Run<'_> {
    fn totals(&self) -> Totals {
        witness::lock(&self.witness).totals()
    }

    fn note(&self, violation: String) {
        witness::lock(&self.witness).note(violation);
    }

    /// All the kills. Returns the server that lives on.
    async fn kill_often(&mut self, mut server: Running) -> Result<Running, BenchError> {
        let mut progress = Progress::new(u64::from(self.options.kills), self.options.quiet);
        let mut early = false;
        for kill in 1..=self.options.kills {
            let after_ms = if early {
                self.rng.random_range(0..=EARLY_KILL_MS_MAX)
            } else {
                server.ready().await?;
                self.rng.random_range(0..=self.options.uptime_ms_max)
            };
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            server.kill().await?;
            witness::lock(&self.witness).crashed();
            server = self.rig.spawn()?;
            early = self.rng.random_ratio(1, EARLY_KILL_ONE_IN);
            progress.at(u64::from(kill), || self.totals().to_string());
        }
        progress.finish();
        server.ready().await?;
        Ok(server)
    }

    /// A new session of each account, after everything was acknowledged: there must be nothing left.
    async fn inspect(&self) -> Result<(), BenchError> {
        for index in 0..self.options.peers {
            let who = crate::accounts::number(index);
            let mut client = Client::new(settings(self.rig, self.options.seed, index)?);
            client.connect().await.map_err(BenchError::client(&who))?;
            client.send(UNMARKED, message::presence()).map_err(BenchError::client(&who))?;
            let mut left = 0u64;
            let look = async {
                while let Ok(event) = client.next().await {
                    if let Event::Stanza(element) = event {
                        let body =
                            message::Received::read(&element.stanza()).and_then(|message| message.body);
                        left += u64::from(body.is_some());
                    }
                }
            };
            // Ends by itself only if the connection does.
            let _ = tokio::time::timeout(INSPECTION, look).await;
            client.close().await;
            if left > 0 {
                self.note(format!("{who} was sent {left} messages again that it had acknowledged"));
            }
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let witness = witness::lock(&self.witness);
        let (violations, violations_total) = witness.violations();
        Report {
            seed: self.options.seed,
            kills: self.options.kills,
            totals: witness.totals(),
            violations,
            violations_total,
        }
    }
}
