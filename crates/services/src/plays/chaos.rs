//! Whatever happens to connections, sessions, disk and process: nothing accepted is lost, nothing is reordered, and
//! nothing comes twice but with the same stanza-id.

use super::*;
use crate::context::Limits;
use crate::testing::Stage;
use crate::wire::Closed;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A sender says the next number.
    Say {
        sender: usize,
    },
    /// The recipient acknowledges all but the last so many.
    Acknowledge {
        session: usize,
        but: u32,
    },
    Arrive {
        session: usize,
    },
    /// The last so many stanzas written to it have not arrived.
    Lose {
        session: usize,
        clean: bool,
        missing: u32,
    },
    Resume {
        session: usize,
    },
    Priority {
        session: usize,
        negative: bool,
    },
    HoldStore(bool),
    DelayReads(bool),
    Pass {
        seconds: u64,
    },
    Stall {
        session: usize,
        bytes: usize,
    },
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let session = 0usize..2;
    prop_oneof![
        8 => (0usize..2).prop_map(|sender| Event::Say { sender }),
        6 => (session.clone(), 0u32..4).prop_map(|(session, but)| Event::Acknowledge { session, but }),
        3 => session.clone().prop_map(|session| Event::Arrive { session }),
        3 => (session.clone(), any::<bool>(), 0u32..5)
            .prop_map(|(session, clean, missing)| Event::Lose { session, clean, missing }),
        3 => session.clone().prop_map(|session| Event::Resume { session }),
        1 => (session.clone(), any::<bool>()).prop_map(|(session, negative)| Event::Priority { session, negative }),
        1 => any::<bool>().prop_map(Event::HoldStore),
        1 => any::<bool>().prop_map(Event::DelayReads),
        1 => prop_oneof![1u64..5, 250u64..400].prop_map(|seconds| Event::Pass { seconds }),
        1 => (session, prop_oneof![Just(0usize), Just(300 << 10)])
            .prop_map(|(session, bytes)| Event::Stall { session, bytes }),
        1 => Just(Event::Crash),
    ]
}

const SENDERS: [&str; 2] = [JULIET, NURSE];
const RESOURCES: [&str; 2] = ["orchard", "street"];

/// A device of the recipient: keeps what it has got, over all its sessions.
#[derive(Default)]
struct Device {
    client: Option<Client>,
    resume_id: Option<String>,
    /// What has come on the present session, stanza by stanza: of messages, the sender and the number.
    log: Vec<Option<(usize, u64)>>,
}

struct Play {
    stage: Stage,
    senders: [Option<Client>; 2],
    said: [u64; 2],
    /// What was said before the senders' present sessions.
    begun: [u64; 2],
    /// Covered by an `<a/>`.
    accepted: [BTreeSet<u64>; 2],
    devices: [Device; 2],
    /// What any device has got, by sender.
    got: [BTreeSet<u64>; 2],
}

impl Play {
    fn new() -> Self {
        let limits = Limits { window_messages: 4, live_messages: 6, ..Default::default() };
        let mut stage = Stage::with_limits(2, limits);
        stage.set_account(ROMEO, 1).unwrap();
        let mut play = Self {
            stage,
            senders: [None; 2],
            said: [0; 2],
            begun: [0; 2],
            accepted: Default::default(),
            devices: Default::default(),
            got: Default::default(),
        };
        play.senders_arrive();
        play
    }

    fn senders_arrive(&mut self) {
        self.begun = self.said;
        for (index, local) in SENDERS.iter().enumerate() {
            self.senders[index] = Some(self.stage.arrive(local, "home").0);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Say { sender } => self.say(sender),
            Event::Acknowledge { session, but } => {
                if let Some(client) = self.devices[session].client {
                    self.listen();
                    let but = but.min(self.stage.counted(client));
                    self.stage.acknowledge_at_most(client, but);
                }
            }
            Event::Arrive { session } => self.arrive(session),
            Event::Lose { session, clean, missing } => {
                self.lose(session, if clean { Closed::Clean } else { Closed::Lost }, missing);
            }
            Event::Resume { session } => self.resume(session),
            Event::Priority { session, negative } => {
                if let Some(client) = self.devices[session].client {
                    let priority = if negative { -1 } else { 1 };
                    self.stage.send(client, &format!("<presence><priority>{priority}</priority></presence>"));
                }
            }
            Event::HoldStore(hold) => self.stage.hold_store(hold),
            Event::DelayReads(delay) => self.stage.engine.delay_reads(delay),
            Event::Pass { seconds } => {
                for _ in 0..seconds {
                    self.stage.pass(1_000);
                    self.listen();
                }
            }
            Event::Stall { session, bytes } => {
                if let Some(client) = self.devices[session].client {
                    self.stage.set_unsent_bytes(client, bytes);
                }
            }
            Event::Crash => self.crash(),
        }
        self.listen();
    }

    fn say(&mut self, sender: usize) {
        let Some(client) = self.senders[sender] else { return };
        self.said[sender] += 1;
        let id = format!("message-{sender}-{}", self.said[sender]);
        let body = format!("{sender}:{}", self.said[sender]);
        let message =
            format!("<message to='{}' id='{id}' type='chat'><body>{body}</body></message>", jid(ROMEO));
        self.stage.send(client, &message);
        self.stage.send(client, "<r xmlns='urn:xmpp:sm:3'/>");
    }

    fn arrive(&mut self, index: usize) {
        self.stage.hold_store(false);
        self.lose(index, Closed::Lost, 0);
        let (client, id) = self.stage.arrive(ROMEO, RESOURCES[index]);
        self.sum_up(index);
        let device = &mut self.devices[index];
        (device.client, device.resume_id) = (Some(client), Some(id));
    }

    fn lose(&mut self, index: usize, why: Closed, missing: u32) {
        self.listen();
        if let Some(client) = self.devices[index].client.take() {
            let log = &mut self.devices[index].log;
            let arrived = log.len().saturating_sub(missing as usize);
            log.truncate(arrived.max(self.stage.acknowledged(client) as usize));
            self.stage.lose(client, why);
        }
    }

    /// The session of a device is over: what it has got counts.
    fn sum_up(&mut self, index: usize) {
        for (sender, number) in std::mem::take(&mut self.devices[index].log).into_iter().flatten() {
            self.got[sender].insert(number);
        }
    }

    fn resume(&mut self, index: usize) {
        let device = &mut self.devices[index];
        let (None, Some(id)) = (device.client, device.resume_id.clone()) else { return };
        let h = device.log.len() as u32;
        self.stage.hold_store(false);
        if let (client, Ok(_)) = self.stage.resume(ROMEO, &id, h) {
            self.devices[index].client = Some(client);
        } else {
            self.devices[index].resume_id = None;
        }
    }

    /// What was said and not accepted may be lost; what was accepted may not, even if the disk was slow.
    fn crash(&mut self) {
        self.listen();
        self.stage.crash();
        (0..self.devices.len()).for_each(|index| self.sum_up(index));
        self.devices = Default::default();
        self.stage.hold_store(false);
        self.senders_arrive();
    }

    /// Looks at everything that has been received, and checks it.
    fn listen(&mut self) {
        for (sender, client) in self.senders.into_iter().enumerate() {
            let Some(client) = client else { continue };
            for element in self.stage.received(client) {
                if element.starts_with("<r ") {
                    self.stage.acknowledge(client, 0);
                }
                assert!(!element.contains("type='error'"), "refused: {element}");
                if let Some(h) = element.strip_prefix("<a xmlns='urn:xmpp:sm:3' h='") {
                    let h: u64 = h.trim_end_matches("'/>").parse().unwrap();
                    // Their presence is the first stanza that counts.
                    let begun = self.begun[sender];
                    self.accepted[sender].extend(begun + 1..begun + h);
                }
            }
        }
        for index in 0..self.devices.len() {
            self.listen_to(index);
        }
    }

    fn listen_to(&mut self, index: usize) {
        let Some(client) = self.devices[index].client else { return };
        if self.stage.closed_with(client).is_some() {
            self.devices[index].client = None;
        }
        for element in self.stage.stanzas(client) {
            let log = &mut self.devices[index].log;
            let Some(body) = bodies(&[element]).first().map(|body| body.to_string()) else {
                log.push(None);
                continue;
            };
            let (sender, number) = body.split_once(':').unwrap();
            let (sender, number): (usize, u64) = (sender.parse().unwrap(), number.parse().unwrap());
            let before = log.iter().flatten().rfind(|(from, _)| *from == sender);
            assert!(before.is_none_or(|(_, before)| *before < number), "{number} after {before:?}");
            log.push(Some((sender, number)));
        }
    }

    /// In the end everybody is well, and everything has arrived.
    fn end(mut self) {
        self.stage.hold_store(false);
        self.stage.engine.delay_reads(false);
        self.listen();
        for index in 0..self.devices.len() {
            self.lose(index, Closed::Clean, 0);
        }
        self.arrive(0);
        loop {
            self.listen();
            let client = self.devices[0].client.unwrap();
            let before = self.stage.waiting(ROMEO);
            self.stage.acknowledge_at_most(client, 0);
            if before == 0 {
                break;
            }
            assert!(self.stage.waiting(ROMEO) < before, "the backlog moves on");
        }
        (0..self.devices.len()).for_each(|index| self.sum_up(index));
        for sender in 0..SENDERS.len() {
            let (got, accepted) = (&self.got[sender], &self.accepted[sender]);
            let lost: Vec<_> = accepted.difference(got).collect();
            assert!(lost.is_empty(), "accepted from {sender}, and lost: {lost:?}");
            let alive = self.begun[sender] + 1..=self.said[sender];
            assert!(
                alive.clone().all(|number| accepted.contains(&number)),
                "{alive:?} were not all accepted"
            );
            assert!(got.iter().all(|number| *number <= self.said[sender]), "nobody said that");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_order_is_kept(events in prop::collection::vec(event(), 1..80)) {
        let mut play = Play::new();
        for event in events {
            play.happen(event);
        }
        play.end();
    }
}
