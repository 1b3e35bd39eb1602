//! A node that follows another's log: takes every committed frame once, in order, and verifies the chain.
//!
//! Called by: the stage. It hears of frames by a subscription ([`Reading`]); what that leaves out, and everything after a silence, it reads from the log.
//! Promises: it never skips a frame; a frame that is not the next of the chain, or that comes again with another content, is a violation.

use crate::api::{self, Refused};
use crate::cluster;
use crate::frame::{self, Chain, Hash};
use crate::ledger::Ledger;
use crate::stage::{Load, Reading, Shared};
use anyhow::Result;
use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// After so much silence the log itself is read.
const SILENCE: Duration = Duration::from_millis(500);
/// After so many silences a consumer is made anew.
const SILENCES_MAX: u32 = 4;
/// Hashes that are remembered, to see whether a frame comes again as it was.
const REMEMBERED: usize = 1024;

/// See the module.
pub(crate) struct Follower {
    log: usize,
    which: usize,
    reading: Reading,
    client: Client,
    frames: Subscriber,
    inbox: String,
    shared: Arc<Shared>,
    chain: Chain,
    recent: VecDeque<Hash>,
    silences: u32,
    consumers: u32,
}

impl Follower {
    /// Connects to its node's server, and listens.
    pub(crate) async fn connect(
        log: usize,
        which: usize,
        reading: Reading,
        urls: &[String],
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let client = cluster::connect(urls).await?;
        let inbox = match reading {
            Reading::Republish => api::committed(log),
            Reading::Consumer => client.new_inbox(),
        };
        let frames = client.subscribe(inbox.clone()).await?;
        let chain = Chain::new(log as u8);
        let recent = VecDeque::with_capacity(REMEMBERED);
        let mut follower = Self {
            log,
            which,
            reading,
            client,
            frames,
            inbox,
            shared,
            chain,
            recent,
            silences: 0,
            consumers: 0,
        };
        follower.consume().await;
        Ok(follower)
    }

    fn ledger(&self) -> &Ledger {
        &self.shared.ledgers[self.log]
    }

    /// Makes a consumer, if it reads by one. One that can't be made is made later.
    async fn consume(&mut self) {
        self.silences = 0;
        if self.reading != Reading::Consumer {
            return;
        }
        self.consumers += 1;
        let name = format!("follower{}of{}no{}", self.which, self.log, self.consumers);
        let stream = api::stream(self.log);
        let body = json!({
            "stream_name": stream, "action": "",
            "config": {
                "name": name, "deliver_subject": self.inbox, "deliver_policy": "by_start_sequence", "opt_start_seq": self.chain.next(),
                "ack_policy": "none", "replay_policy": "instant", "max_deliver": 1, "mem_storage": true, "num_replicas": 1,
                "inactive_threshold": 10_000_000_000u64,
            },
        });
        let _ = api::request(&self.client, &format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"), &body).await;
    }

    /// Until the load ends.
    pub(crate) async fn run(mut self, mut loads: watch::Receiver<Load>) -> Result<()> {
        let mut quiet = tokio::time::interval(SILENCE);
        quiet.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !loads.borrow_and_update().ends {
            tokio::select! {
                biased;
                changed = loads.changed() => if changed.is_err() { return Ok(()) },
                heard = self.frames.next() => {
                    let Some(message) = heard else { anyhow::bail!("the connection of a follower ended") };
                    quiet.reset();
                    self.hear(&message).await;
                }
                _ = quiet.tick() => self.silence().await,
            }
        }
        Ok(())
    }

    /// Where a frame lies that the subscription brings.
    fn place(&self, message: &Message) -> Option<u64> {
        match self.reading {
            Reading::Republish => api::number(message.headers.as_ref(), "Nats-Sequence"),
            // $JS.ACK.STREAM.CONSUMER.DELIVERED.PLACE.…
            Reading::Consumer => message.reply.as_ref()?.split('.').nth(5)?.parse().ok(),
        }
    }

    async fn hear(&mut self, message: &Message) {
        let Some(place) = self.place(message) else { return };
        self.silences = 0;
        if place > self.chain.next() {
            self.catch_up().await;
        }
        self.take(place, &message.payload);
    }

    async fn silence(&mut self) {
        self.catch_up().await;
        self.silences += 1;
        if self.silences > SILENCES_MAX {
            self.consume().await;
        }
    }

    /// Reads the log from the next frame on to its end.
    async fn catch_up(&mut self) {
        loop {
            let from = self.chain.next();
            let found: Result<Vec<api::Lying>, Refused> = api::read(&self.client, self.log, from).await;
            // A silent log is asked again after the next silence.
            let Ok(found) = found else { return };
            for lying in &found {
                self.take(lying.number, &lying.frame);
            }
            if found.is_empty() || self.chain.next() == from {
                return;
            }
        }
    }

    fn take(&mut self, place: u64, frame: &[u8]) {
        let next = self.chain.next();
        if place < next {
            return self.compare(place, next, frame);
        }
        // One that is not the next is read from the log, when that is asked.
        if place > next {
            return;
        }
        match self.chain.take(place, frame) {
            Ok((hash, _)) => {
                if self.recent.len() == REMEMBERED {
                    self.recent.pop_front();
                }
                self.recent.push_back(hash);
                self.ledger().followed(self.which, place);
                self.shared.followed(self.log, place);
            }
            Err(broken) => {
                self.ledger().violation(format!("log {}, follower {}: {broken}", self.log, self.which));
            }
        }
    }

    fn compare(&mut self, place: u64, next: u64, frame: &[u8]) {
        let before = (next - place) as usize;
        let Some(index) = self.recent.len().checked_sub(before) else { return };
        if self.recent[index] != frame::hash(frame) {
            let what = format!(
                "log {}, follower {}: frame {place} came again with another content",
                self.log, self.which
            );
            self.ledger().violation(what);
        }
    }
}
