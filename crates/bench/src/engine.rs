//! The load generator's engine: many small client sessions on few threads, for any XMPP server.
//!
//! [`Fleet`] owns the generator threads, each with its share of the sessions (accounts in order, side by side). The scenarios tell
//! them what to do by [`Command`]s and collect counts and latencies from them; nothing else is shared but the ledger.

mod alarm;
pub(crate) mod digits;
mod generator;
pub(crate) mod ledger;
mod login;
mod mark;
mod pace;
pub(crate) mod purse;
mod random;
mod secure;
mod session;
pub(crate) mod socket;
pub(crate) mod traffic;

use crate::error::BenchError;
use chaski_xmpp::sasl::Mechanism;
use generator::{Generator, Shared};
use ledger::{Balance, Ledger};
pub(crate) use login::Wishes;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::ops::{AddAssign, Range};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use traffic::Plan;

/// A thread's stack: its work is flat.
const STACK_BYTES: usize = 256 * 1024;
/// Sessions of a thread when the descriptor table would allow more.
const SESSIONS_PER_THREAD_MAX: u64 = 18_000;
/// Descriptors of a table for everything but sessions.
const OTHER_DESCRIPTORS: u64 = 256;
/// Latencies of one kind that a thread keeps until they are collected; what is beyond is left out.
const LATENCIES_MAX: usize = 1 << 20;
/// Most time for a thread to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How sessions reach the server.
#[derive(Clone)]
pub(crate) enum Transport {
    Plain,
    StartTls(Tls),
    DirectTls(Tls),
}

/// TLS settings.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    pub(crate) takes_tickets: bool,
}

/// What all sessions of a run have in common.
pub(crate) struct Setup {
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) transport: Transport,
    pub(crate) wishes: Wishes,
    /// Whence the accounts' keys follow.
    pub(crate) seed: u64,
    /// Tells this run's messages from others'.
    pub(crate) run: u32,
    pub(crate) login_timeout: Duration,
    /// Each thread has a descriptor table of its own.
    pub(crate) own_descriptors: bool,
}

/// The run's time: microseconds since its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the generator owns its clock")]
    fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// What a thread is told. Session indexes are of its share.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Logs sessions in, so many at once at most; `per_s` also holds for those that come back later.
    LogIn { sessions: Range<u32>, per_s: Option<f64>, at_once: usize },
    /// From now on this, and nothing of before.
    Traffic(Option<Plan>),
    /// Cuts sessions; they come back at once.
    Cut { sessions: Range<u32>, resume: bool },
    /// So many sessions per second end and log in again, the oldest first.
    Cycle(Option<f64>),
    /// Counts are to be published with this number.
    Answer(u64),
    /// The thread ends.
    Stop,
}

/// What has happened, since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Live sessions now.
    pub(crate) live: u64,
    pub(crate) logins: u64,
    pub(crate) resumed: u64,
    /// TLS sessions that took up an earlier one.
    pub(crate) tls_resumed: u64,
    pub(crate) login_failures: u64,
    pub(crate) sessions_lost: u64,
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) delivered: u64,
    pub(crate) duplicates: u64,
    /// Messages that came to another account than theirs.
    pub(crate) astray: u64,
    /// In a closed loop: messages that first came after a later one of the same sender.
    pub(crate) out_of_order: u64,
    pub(crate) deliveries: u64,
    pub(crate) typing: u64,
    /// Messages of an open loop that no session could send.
    pub(crate) unsent: u64,
    /// Subscriptions asked for or agreed to.
    pub(crate) subscriptions: u64,
    /// Status updates sent, and those that sessions got.
    pub(crate) presence_sent: u64,
    pub(crate) presence: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.live += other.live;
        self.logins += other.logins;
        self.resumed += other.resumed;
        self.tls_resumed += other.tls_resumed;
        self.login_failures += other.login_failures;
        self.sessions_lost += other.sessions_lost;
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.astray += other.astray;
        self.out_of_order += other.out_of_order;
        self.deliveries += other.deliveries;
        self.typing += other.typing;
        self.unsent += other.unsent;
        self.subscriptions += other.subscriptions;
        self.presence_sent += other.presence_sent;
        self.presence += other.presence;
    }
}

/// Latencies in microseconds and other news since they were last collected.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) login: Vec<u64>,
    pub(crate) recovery: Vec<u64>,
    pub(crate) delivery: Vec<u64>,
    /// To sessions that are cut now and then: what was sent while they were away waits for them.
    pub(crate) delivery_to_cut: Vec<u64>,
    pub(crate) acceptance: Vec<u64>,
    pub(crate) mechanism: Option<Mechanism>,
    /// The first trouble.
    pub(crate) complaint: Option<String>,
}

impl Batch {
    fn complain(&mut self, why: &str) {
        if self.complaint.is_none() {
            self.complaint = Some(why.to_owned());
        }
    }

    /// Takes over what is in `other`.
    fn take(&mut self, other: &mut Self) {
        let pairs = [
            (&mut self.login, &mut other.login),
            (&mut self.recovery, &mut other.recovery),
            (&mut self.delivery, &mut other.delivery),
            (&mut self.delivery_to_cut, &mut other.delivery_to_cut),
            (&mut self.acceptance, &mut other.acceptance),
        ];
        for (own, new) in pairs {
            if own.len() < LATENCIES_MAX {
                own.append(new);
            }
            new.clear();
        }
        self.mechanism = other.mechanism.take().or(self.mechanism);
        self.complaint = self.complaint.take().or(other.complaint.take());
    }
}

/// Between a thread and the run.
struct Inbox {
    commands: Mutex<Vec<Command>>,
    published: Mutex<Published>,
    asked: AtomicU64,
    /// A byte here wakes the thread. It knows its end by number: its descriptor table is a copy of ours.
    run_end: UnixStream,
    thread_end: RawFd,
    _thread_end: UnixStream,
}

#[derive(Default)]
struct Published {
    counters: Counters,
    batch: Batch,
    answered: u64,
    failure: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is sound at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    fn new() -> io::Result<Self> {
        let (run_end, thread_end) = UnixStream::pair()?;
        run_end.set_nonblocking(true)?;
        thread_end.set_nonblocking(true)?;
        Ok(Self {
            commands: Mutex::default(),
            published: Mutex::default(),
            asked: AtomicU64::new(0),
            run_end,
            thread_end: thread_end.as_raw_fd(),
            _thread_end: thread_end,
        })
    }

    fn send(&self, command: Command) {
        lock(&self.commands).push(command);
        // Full: it is awake already.
        let _ = (&self.run_end).write(&[1]);
    }

    fn listen(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.thread_end), token, Interest::READABLE)
    }

    fn heard(&self) {
        // SAFETY: the number is open in this thread's table, a copy of the one in which the inbox holds it open; it is not closed here.
        let mut end = ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(self.thread_end) });
        let mut bytes = [0; 64];
        while end.read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }

    fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *lock(&self.commands))
    }

    fn is_waiting_for(&self, answered: u64) -> bool {
        self.asked.load(Ordering::Relaxed) == answered && lock(&self.published).answered != answered
    }

    fn publish(&self, counters: &Counters, batch: &mut Batch, answered: u64) {
        let mut published = lock(&self.published);
        published.counters = *counters;
        published.answered = answered;
        published.batch.take(batch);
    }
}

/// A thread's part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Which thread, of how many.
    pub(crate) thread: u32,
    pub(crate) threads: u32,
    /// Its sessions.
    pub(crate) sessions: u32,
    /// All sessions.
    pub(crate) total: u32,
}

impl Share {
    /// This share's part of a number of pairs that are spread over all threads.
    pub(crate) fn pairs_of(&self, pairs: u32) -> u32 {
        let part = pairs / self.threads + u32::from(self.thread < pairs % self.threads);
        part.min(self.sessions / 2)
    }

    /// This share's part of a rate.
    pub(crate) fn rate_of(&self, per_s: f64) -> f64 {
        per_s * f64::from(self.sessions) / f64::from(self.total.max(1))
    }
}

struct Member {
    share: Share,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// All generator threads. They end when it is dropped.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    members: Vec<Member>,
    asked: u64,
}

/// How many threads so many sessions need, if nothing else is said.
pub(crate) fn threads_for(sessions: u64) -> u64 {
    let per_thread = sessions_per_thread();
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    sessions.div_ceil(per_thread).max(processors.min(sessions.div_ceil(2))).max(1)
}

fn sessions_per_thread() -> u64 {
    // Even, so that pairs stay together.
    let room = socket::descriptors_max().saturating_sub(OTHER_DESCRIPTORS).clamp(2, SESSIONS_PER_THREAD_MAX);
    room & !1
}

/// How many sessions each thread gets: even numbers but for the last.
fn shares(sessions: u32, threads: u32) -> Vec<u32> {
    let pairs = sessions / 2;
    let mut shares: Vec<u32> =
        (0..threads).map(|thread| (pairs / threads + u32::from(thread < pairs % threads)) * 2).collect();
    if let Some(last) = shares.last_mut() {
        *last += sessions % 2;
    }
    shares
}

impl Fleet {
    /// Starts the threads; nobody logs in yet.
    pub(crate) fn start(mut setup: Setup, sessions: u32, threads: u32) -> Result<Self, BenchError> {
        let threads = threads.max(1);
        let room = sessions_per_thread() * u64::from(threads);
        if cfg!(target_os = "linux") && room < u64::from(sessions) {
            return Err(BenchError::Refused(format!(
                "{sessions} sessions on {threads} threads need more open files than a thread may have; see chaski doctor"
            )));
        }
        setup.own_descriptors = threads > 1 || u64::from(sessions) > 1_000;
        let shared = Arc::new(Shared { setup, ledger: Ledger::new(), clock: Clock::start() });
        let mut fleet = Self { shared, members: Vec::new(), asked: 0 };
        let mut base = 0;
        for (thread, count) in shares(sessions, threads).into_iter().enumerate() {
            let share = Share { thread: thread as u32, threads, sessions: count, total: sessions };
            fleet.add(share, base..base + count).map_err(BenchError::io("can't start a generator thread"))?;
            base += count;
        }
        Ok(fleet)
    }

    fn add(&mut self, share: Share, accounts: Range<u32>) -> io::Result<()> {
        let inbox = Arc::new(Inbox::new()?);
        let (shared, own) = (self.shared.clone(), inbox.clone());
        let thread = std::thread::Builder::new()
            .name(format!("load-{}", share.thread))
            .stack_size(STACK_BYTES)
            .spawn(move || {
                if let Err(error) = Generator::run(shared, own.clone(), share.thread, accounts) {
                    lock(&own.published).failure = Some(error.to_string());
                }
            })?;
        self.members.push(Member { share, inbox, thread: Some(thread) });
        Ok(())
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.shared.clock.now_us()
    }

    /// Tells each thread something.
    pub(crate) fn tell(&self, mut command: impl FnMut(&Share) -> Command) {
        for member in &self.members {
            member.inbox.send(command(&member.share));
        }
    }

    /// Everything up to now; `each` gets the news of each thread.
    pub(crate) fn collect(&self, mut each: impl FnMut(Batch)) -> Result<Counters, BenchError> {
        let mut sum = Counters::default();
        for member in &self.members {
            let mut published = lock(&member.inbox.published);
            if let Some(failure) = &published.failure {
                return Err(BenchError::Server(format!("a generator thread has ended: {failure}")));
            }
            sum += published.counters;
            let batch = std::mem::take(&mut published.batch);
            drop(published);
            each(batch);
        }
        Ok(sum)
    }

    /// Waits until all threads have published what happened before now.
    pub(crate) fn settle(&mut self) {
        self.asked += 1;
        let asked = self.asked;
        for member in &self.members {
            member.inbox.asked.store(asked, Ordering::Relaxed);
            member.inbox.send(Command::Answer(asked));
        }
        let begun_us = self.now_us();
        let is_late = || self.now_us() - begun_us > ANSWER_TIMEOUT.as_micros() as u64;
        for member in &self.members {
            loop {
                let published = lock(&member.inbox.published);
                if published.answered == asked || published.failure.is_some() || is_late() {
                    break;
                }
                drop(published);
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// What became of all messages. Exact after [`Fleet::settle`] without traffic.
    pub(crate) fn balance(&self) -> Balance {
        self.shared.ledger.balance()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tell(|_| Command::Stop);
        for member in &mut self.members {
            if let Some(thread) = member.thread.take() {
                // A thread that has panicked has said so.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_stay_together() {
        assert_eq!(shares(10, 3), [4, 4, 2]);
        assert_eq!(shares(7, 2), [4, 3]);
        assert_eq!(shares(1, 1), [1]);
        assert_eq!(shares(1_000_000, 56).iter().sum::<u32>(), 1_000_000);
        assert!(shares(1_000_000, 56).iter().all(|share| share % 2 == 0 && *share <= 18_000));
    }

    #[test]
    fn parts_add_up() {
        let share = |thread| Share { thread, threads: 3, sessions: 10, total: 30 };
        assert_eq!((0..3).map(|thread| share(thread).pairs_of(7)).sum::<u32>(), 7);
        let rate: f64 = (0..3).map(|thread| share(thread).rate_of(90.0)).sum();
        assert!((rate - 90.0).abs() < 1e-9);
    }

    #[test]
    fn a_million_sessions_need_some_fifty_threads() {
        let threads = threads_for(1_000_000);
        assert!(threads >= 56, "{threads}");
        assert_eq!(threads_for(1), 1);
    }
}
