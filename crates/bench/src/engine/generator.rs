//! A generator thread: one event loop with its share of the run's sessions.
//!
//! A turn: wait, in an open loop until there is something of a turn; handle what sockets, timers and the run say; begin what is due;
//! write; publish counts. Promises: no buffer on an idle session, one write per session and turn, nothing written that carries only an
//! acknowledgement if it can wait, reading into one shared buffer; all queues are bounded by the share or by
//! the constants below.

mod arrive;
mod io;
mod live;
mod owe;
mod tell;
mod turn;
mod write;

use super::alarm::Alarm;
use super::ledger::Ledger;
use super::random::Random;
use super::session::Session;
use super::traffic::{Body, Open};
use super::{Batch, Command, Counters, Inbox, Setup};
use crate::engine::pace::Pace;
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::sync::Arc;

/// Events taken at once.
const EVENTS: usize = 1_024;
/// Bytes read at once; grows only for a stanza that is larger.
const READ_BYTES: usize = 64 * 1024;
const ALARM: Token = Token(usize::MAX);
const WAKE: Token = Token(usize::MAX - 1);

/// What a thread shares with the run and the other threads.
pub(super) struct Shared {
    pub(super) setup: Setup,
    pub(super) ledger: Ledger,
    pub(super) clock: super::Clock,
}

/// See the module.
pub(super) struct Generator {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    thread: u32,
    /// The account of the first session; sessions and accounts go on from there side by side.
    base: u32,
    poll: Poll,
    alarm: Alarm,
    sessions: Vec<Session>,
    now_us: u64,
    /// The turn before this one was only just over.
    is_busy: bool,
    random: Random,
    arrivals: Arrivals,
    closed: Option<Closed>,
    open: Option<Open>,
    telling: Option<tell::Telling>,
    /// Sessions that may write more in a closed loop.
    due: Vec<u32>,
    /// Acknowledgements that wait for something to ride on.
    debts: VecDeque<owe::Debt>,
    /// Closes the oldest session and logs it in again.
    cycle: Option<Pace>,
    oldest: u32,
    /// The next number of our block in the ledger, and its end.
    numbers: std::ops::Range<u32>,
    buffers: Buffers,
    counters: Counters,
    batch: Batch,
    published_us: u64,
    is_unpublished: bool,
    answered: u64,
    is_over: bool,
}

/// Who wants to log in, and how fast they may.
#[derive(Default)]
struct Arrivals {
    waiting: VecDeque<u32>,
    /// Not before these times, in order.
    later: VecDeque<(u64, u32)>,
    /// Under way, since when, in order; also those that are done meanwhile.
    begun: VecDeque<(u64, u32)>,
    under_way: usize,
    at_once_max: usize,
    pace: Option<Pace>,
    connections: u32,
    cut_us: u64,
}

struct Closed {
    pairs: u32,
    in_flight: u32,
    body: Body,
}

/// Shared by all sessions of the thread; empty between two sessions.
#[derive(Default)]
struct Buffers {
    read: Vec<u8>,
    /// Decrypted.
    plain: Vec<u8>,
    /// What the session at work has to say.
    out: Vec<u8>,
    /// The same, encrypted.
    wire: Vec<u8>,
}

impl Generator {
    /// Runs a share until it is told to stop. Called on the thread itself.
    pub(super) fn run(
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        thread: u32,
        accounts: std::ops::Range<u32>,
    ) -> std::io::Result<()> {
        if shared.setup.own_descriptors {
            super::socket::own_descriptors()?;
        }
        let mut generator = Self::new(shared, inbox, thread, accounts)?;
        let mut events = Events::with_capacity(EVENTS);
        while !generator.is_over {
            generator.turn(&mut events)?;
        }
        Ok(())
    }

    /// In the descriptor table of the thread that will run it.
    fn new(
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        thread: u32,
        accounts: std::ops::Range<u32>,
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        inbox.listen(poll.registry(), WAKE)?;
        let sessions = accounts.clone().map(|_| Session::default()).collect();
        let now_us = shared.clock.now_us();
        Ok(Self {
            random: Random::new(shared.setup.seed ^ u64::from(thread) << 32 ^ now_us),
            shared,
            inbox,
            thread,
            base: accounts.start,
            poll,
            alarm,
            sessions,
            now_us,
            is_busy: false,
            arrivals: Arrivals { at_once_max: 1, ..Arrivals::default() },
            closed: None,
            open: None,
            telling: None,
            due: Vec::new(),
            debts: VecDeque::new(),
            cycle: None,
            oldest: 0,
            numbers: 0..0,
            buffers: Buffers { read: vec![0; READ_BYTES], ..Buffers::default() },
            counters: Counters::default(),
            batch: Batch::default(),
            published_us: now_us,
            is_unpublished: false,
            answered: 0,
            is_over: false,
        })
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::LogIn { sessions, per_s, at_once } => {
                self.arrivals.pace = per_s.map(|per_s| Pace::new(self.now_us, per_s));
                self.arrivals.at_once_max = at_once.max(1);
                self.arrivals.waiting.extend(sessions);
            }
            Command::Traffic(plan) => {
                self.pay_due(u64::MAX);
                self.plan(plan);
            }
            Command::Cut { sessions, resume } => self.cut(sessions, resume),
            Command::Cycle(per_s) => self.cycle = per_s.map(|per_s| Pace::new(self.now_us, per_s)),
            Command::Answer(question) => {
                self.pay_due(u64::MAX);
                self.answered = question;
            }
            Command::Stop => {
                self.pay_due(u64::MAX);
                self.is_over = true;
            }
        }
    }
}
