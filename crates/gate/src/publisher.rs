//! A node's side of its log: commits paced frames, and never forgets one that was not acknowledged.
//!
//! Called by: the stage. Each frame is published under the expected last sequence, so that nobody else can have written meanwhile; several may be on
//! their way. When the log refuses one or is silent, the publisher asks what the log has: frames that lie there with their own content count as
//! acknowledged, others are published again, in order, with the same content. Promises: what the ledger calls acknowledged was acknowledged by
//! the server, or read from it; it never writes a frame again that was. While frames wait for a log that is silent, no messages are taken in.

use crate::api::{self, Answer, Refused};
use crate::clock;
use crate::cluster;
use crate::frame::{self, Hash};
use crate::ledger::Ledger;
use crate::stage::{Load, Shared};
use anyhow::Result;
use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Frames on their way at most; then the publisher waits.
const WINDOW: usize = 64;
/// Messages in a frame at most.
const MESSAGES_MAX: u32 = 500;
/// The oldest frame is asked for if it is not acknowledged after so long.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Between two questions to a log that does not answer as it should.
const PAUSE: Duration = Duration::from_millis(150);
/// How often a log is truncated.
const TRUNCATE: Duration = Duration::from_secs(1);
/// How long the end waits for frames that are on their way.
const LAST_WAIT: Duration = Duration::from_secs(5);
const NOISE_BYTES: usize = 1 << 20;

/// A frame on its way.
struct Flight {
    number: u64,
    frame: Bytes,
    hash: Hash,
    messages: u32,
    first_sent: Instant,
    sent: Instant,
    is_again: bool,
    /// How long its messages had been collected when it was published.
    collected: Duration,
}

/// See the module.
pub(crate) struct Publisher {
    log: usize,
    client: Client,
    replies: Subscriber,
    reply_prefix: String,
    subject: String,
    shared: Arc<Shared>,
    noise: Vec<u8>,
    window: VecDeque<Flight>,
    next: u64,
    tip: Hash,
    /// From when on messages are due, and how many of them are taken.
    due_from: Instant,
    taken: u64,
    collected_from: Instant,
}

impl Publisher {
    /// Connects to its node's server.
    pub(crate) async fn connect(log: usize, urls: &[String], shared: Arc<Shared>) -> Result<Self> {
        let client = cluster::connect(urls).await?;
        let reply_prefix = client.new_inbox();
        let replies = client.subscribe(format!("{reply_prefix}.*")).await?;
        let mut noise = vec![0; NOISE_BYTES];
        rand::rngs::StdRng::seed_from_u64(log as u64).fill_bytes(&mut noise);
        let now = clock::now();
        Ok(Self {
            log,
            client,
            replies,
            reply_prefix,
            subject: api::subject(log),
            shared,
            noise,
            window: VecDeque::new(),
            next: 1,
            tip: Hash::default(),
            due_from: now,
            taken: 0,
            collected_from: now,
        })
    }

    fn ledger(&self) -> &Ledger {
        &self.shared.ledgers[self.log]
    }

    /// Until the load ends.
    pub(crate) async fn run(mut self, mut loads: watch::Receiver<Load>) -> Result<()> {
        let mut load = *loads.borrow_and_update();
        let mut pace = self.pace(load).await;
        let mut truncation = tokio::time::interval(TRUNCATE);
        truncation.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !load.ends {
            tokio::select! {
                biased;
                changed = loads.changed() => {
                    load = *loads.borrow_and_update();
                    load.ends |= changed.is_err();
                    pace = self.pace(load).await;
                }
                reply = self.replies.next() => self.hear(reply).await?,
                _ = pace.tick() => self.commit(load).await?,
                _ = truncation.tick() => self.truncate(),
            }
        }
        self.finish().await
    }

    /// The three logs' frames are not in step with each other.
    async fn pace(&mut self, load: Load) -> tokio::time::Interval {
        tokio::time::sleep(load.pace / 3 * self.log as u32).await;
        self.take_from_now();
        let mut pace = tokio::time::interval(load.pace);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pace
    }

    fn take_from_now(&mut self) {
        (self.due_from, self.taken) = (clock::now(), 0);
        self.collected_from = self.due_from;
    }

    /// Everything that was due since the last frame goes into the next.
    async fn commit(&mut self, load: Load) -> Result<()> {
        let silent = self.window.front().is_some_and(|flight| flight.sent.elapsed() > SILENCE);
        if silent {
            return self.ask().await;
        }
        if self.window.len() >= WINDOW {
            self.take_from_now();
            return Ok(());
        }
        let rate = f64::from(load.rate) / cluster::SERVERS as f64;
        let due = (self.due_from.elapsed().as_secs_f64() * rate) as u64 - self.taken;
        let messages = u32::try_from(due).unwrap_or(MESSAGES_MAX).min(MESSAGES_MAX);
        if messages == 0 {
            return Ok(());
        }
        self.taken += u64::from(messages);
        let now = clock::now();
        let frame = frame::encode(self.log as u8, self.next, &self.tip, messages, &self.noise);
        let flight = Flight {
            number: self.next,
            hash: frame::hash(&frame),
            frame,
            messages,
            first_sent: now,
            sent: now,
            is_again: false,
            collected: now.duration_since(self.collected_from),
        };
        (self.collected_from, self.tip) = (now, flight.hash);
        self.next += 1;
        self.shared.published(self.log, flight.number);
        self.window.push_back(flight);
        self.publish(self.window.len() - 1).await
    }

    async fn publish(&mut self, index: usize) -> Result<()> {
        let flight = &mut self.window[index];
        flight.sent = clock::now();
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Sequence", (flight.number - 1).to_string());
        let reply = format!("{}.{}", self.reply_prefix, flight.number);
        let (subject, frame) = (self.subject.clone(), flight.frame.clone());
        let sent = self.client.publish_with_reply_and_headers(subject, reply, headers, frame);
        // While there is no server the connection's queue may be full: then the frame is published again later.
        if let Ok(result) = tokio::time::timeout(SILENCE, sent).await {
            result?;
        }
        Ok(())
    }

    async fn hear(&mut self, reply: Option<Message>) -> Result<()> {
        let Some(message) = reply else { anyhow::bail!("the connection of a publisher ended") };
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number else { return Ok(()) };
        match Answer::read(&message) {
            Ok(place) if place != number => {
                self.ledger()
                    .violation(format!("log {}: frame {number} was acknowledged at {place}", self.log));
                Ok(())
            }
            Ok(_) => {
                self.acknowledge_upto(number);
                Ok(())
            }
            // Of the others on their way the log refuses each, as it has to; the oldest says that something is wrong.
            Err(_) if self.window.front().is_some_and(|flight| flight.number == number) => self.ask().await,
            Err(_) => Ok(()),
        }
    }

    /// A frame is in the log, and so are those before it, since it was published behind them.
    fn acknowledge_upto(&mut self, number: u64) {
        let now = clock::now();
        while let Some(flight) = self.window.pop_front_if(|flight| flight.number <= number) {
            let ledger = self.ledger();
            ledger.acknowledge(flight.number, flight.hash, flight.messages);
            ledger.again.fetch_add(u64::from(flight.is_again), Ordering::Relaxed);
            ledger.last_ack_ns.store(self.shared.ns(), Ordering::Relaxed);
            let commit = now.duration_since(flight.first_sent);
            let mut latencies = self.shared.latencies();
            latencies.commit.saturating_record(commit.as_micros() as u64);
            for message in 0..flight.messages {
                let waited = flight.collected * message / flight.messages;
                latencies.acceptance.saturating_record((commit + waited).as_micros() as u64);
            }
        }
    }

    /// What does the log have? Then: what lies there counts, the rest is published again.
    async fn ask(&mut self) -> Result<()> {
        tokio::time::sleep(PAUSE).await;
        let is_known = self.look().await;
        if is_known {
            for index in 0..self.window.len() {
                self.window[index].is_again = true;
                self.publish(index).await?;
            }
        } else {
            self.ask_again_soon();
        }
        self.take_from_now();
        Ok(())
    }

    /// Whether the log says what it has, and that is what was published so far.
    async fn look(&mut self) -> bool {
        let last = match api::state(&self.client, self.log).await {
            Ok(state) => state.last,
            Err(Refused::Error(api::STREAM_NOT_FOUND, _)) => 0,
            Err(_) => return false,
        };
        let acknowledged = self.ledger().last();
        let is_behind = last < acknowledged;
        self.ledger().behind.store(if is_behind { last + 1 } else { 0 }, Ordering::Relaxed);
        // Behind, either its new leader has not read its own log to the end, or acknowledged frames are lost; nothing is written over them.
        !is_behind && (last == acknowledged || self.compare(acknowledged + 1, last).await)
    }

    /// The next question is due with the next frame.
    fn ask_again_soon(&mut self) {
        if let Some(front) = self.window.front_mut()
            && let Some(earlier) = clock::now().checked_sub(SILENCE + PAUSE)
        {
            front.sent = earlier;
        }
    }

    /// Whether frames whose acknowledgement never came could be read. Those that lie in the log as they were published count.
    async fn compare(&mut self, from: u64, last: u64) -> bool {
        let Ok(found) = api::read(&self.client, self.log, from).await else { return false };
        for lying in found.iter().filter(|lying| lying.number <= last) {
            match self.window.front() {
                Some(flight) if flight.number == lying.number && flight.frame == lying.frame => {
                    self.acknowledge_upto(lying.number);
                }
                _ => {
                    let what =
                        format!("log {}: at {} lies what nobody published there", self.log, lying.number);
                    self.ledger().violation(what);
                    return false;
                }
            }
        }
        self.ledger().last() >= last
    }

    /// Asks the log to forget what everybody has. Its answer is of no interest: the next time asks for more.
    fn truncate(&self) {
        if let Some(upto) = self.ledger().truncatable() {
            let (client, log, shared) = (self.client.clone(), self.log, self.shared.clone());
            tokio::spawn(async move {
                // Noted before: whatever became of the request, the log may have done it.
                shared.ledgers[log].truncate(upto);
                let _ = api::truncate(&client, log, upto).await;
            });
        }
    }

    async fn finish(mut self) -> Result<()> {
        let start = clock::now();
        while !self.window.is_empty() && start.elapsed() < LAST_WAIT {
            match tokio::time::timeout(LAST_WAIT, self.replies.next()).await {
                Ok(reply) => self.hear(reply).await?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}
