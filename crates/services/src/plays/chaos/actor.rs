//! A good client: counts, acknowledges, resumes, and sends again what was not accepted, in order and under the same ids.

use super::*;
use std::collections::VecDeque;

/// The last so many messages are remembered, to be said again.
const LATELY: usize = 4;

/// What it has sent and the server has not covered: a message, with its id, or something else.
type Sent = Option<(String, String)>;

/// See the module.
pub(super) struct Actor {
    local: &'static str,
    resource: &'static str,
    client: Option<Client>,
    managed: bool,
    resume_id: Option<String>,
    /// The key's generation that its session has proved.
    generation: u32,
    /// How much had arrived when the connection was lost.
    arrived: u32,
    /// How many stanzas of its session are covered, and what is not.
    covered: u32,
    open: VecDeque<Sent>,
    /// What its lost sessions have left open.
    unsent: Vec<(String, String)>,
    lately: VecDeque<(String, String)>,
}

impl Actor {
    pub(super) fn new(local: &'static str, resource: &'static str) -> Self {
        Self {
            local,
            resource,
            client: None,
            managed: false,
            resume_id: None,
            generation: 1,
            arrived: 0,
            covered: 0,
            open: VecDeque::new(),
            unsent: Vec::new(),
            lately: VecDeque::new(),
        }
    }

    pub(super) fn client(&self) -> Option<Client> {
        self.client
    }

    /// A new session, and what the old one has left open.
    pub(super) fn arrive(&mut self, stage: &mut Stage, generation: u32, managed: bool) {
        self.lose(stage, Closed::Lost, 0);
        self.give_up();
        let client = stage.connect(self.local);
        if stage.bind(client, self.local, generation, Some(self.resource)).is_err() {
            return;
        }
        (self.client, self.generation) = (Some(client), generation);
        if managed {
            self.manage(stage);
        }
        self.send(stage, "<presence/>");
        for (id, message) in std::mem::take(&mut self.unsent) {
            self.send_message(stage, id, &message);
        }
    }

    pub(super) fn manage(&mut self, stage: &mut Stage) {
        let Some(client) = self.client.filter(|_| !self.managed) else { return };
        stage.send(client, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = stage.received(client).into_iter().rfind(|element| element.starts_with("<enabled"));
        let Some(enabled) = enabled else { return };
        let stanza = chaski_xmpp::Stanza::parse(enabled.as_bytes()).unwrap();
        self.resume_id = stanza.attr("id").map(|id| id.into_owned());
        (self.managed, self.covered) = (true, 0);
    }

    /// The session is over: what was not accepted is sent on the next.
    fn give_up(&mut self) {
        (self.client, self.resume_id, self.managed, self.covered) = (None, None, false, 0);
        self.unsent.extend(self.open.drain(..).flatten());
    }

    pub(super) fn crashed(&mut self) {
        self.give_up();
    }

    pub(super) fn send(&mut self, stage: &mut Stage, stanza: &str) {
        if let Some(client) = self.client {
            stage.send(client, stanza);
            if self.managed {
                self.open.push_back(None);
            }
        }
    }

    fn send_message(&mut self, stage: &mut Stage, id: String, message: &str) {
        let Some(client) = self.client else { return };
        if self.managed {
            self.open.push_back(Some((id, message.to_owned())));
        }
        stage.send(client, message);
        if self.managed {
            stage.send(client, "<r xmlns='urn:xmpp:sm:3'/>");
        }
        self.listen(stage);
    }

    pub(super) fn say(&mut self, stage: &mut Stage, number: u64) {
        let id = format!("message-{number}");
        self.say_as(stage, id, &number.to_string());
    }

    fn say_as(&mut self, stage: &mut Stage, id: String, body: &str) {
        let message =
            format!("<message to='{}' id='{id}' type='chat'><body>{body}</body></message>", jid(ROMEO));
        if self.client.is_none() {
            return;
        }
        self.lately.push_back((id.clone(), body.to_owned()));
        if self.lately.len() > LATELY {
            self.lately.pop_front();
        }
        self.send_message(stage, id, &message);
    }

    /// One of the last again; `changed`: it says this instead.
    pub(super) fn repeat(&mut self, stage: &mut Stage, back: usize, changed: Option<u64>) {
        let Some((id, body)) = self.lately.get(back).cloned() else { return };
        let body = changed.map_or(body, |number| number.to_string());
        self.say_as(stage, id, &body);
    }

    pub(super) fn acknowledge(&mut self, stage: &mut Stage, but: u32) {
        self.listen(stage);
        if let Some(client) = self.client.filter(|_| self.managed) {
            let but = but.min(stage.counted(client));
            stage.acknowledge_at_most(client, but);
        }
    }

    pub(super) fn confirm(&mut self, stage: &mut Stage) {
        if let Some(client) = self.client {
            stage.confirm(client);
        }
    }

    pub(super) fn lose(&mut self, stage: &mut Stage, why: Closed, missing: u32) {
        self.listen(stage);
        let Some(client) = self.client.take() else { return };
        let (counted, acknowledged) = (stage.counted(client), stage.acknowledged(client));
        // What TCP has confirmed has arrived.
        let missing = if self.managed { missing.min(counted - acknowledged) } else { 0 };
        self.arrived = counted - missing;
        stage.lose_unread(client, why, missing);
        if why == Closed::Clean || self.resume_id.is_none() {
            self.give_up();
        }
    }

    pub(super) fn resume(&mut self, stage: &mut Stage) {
        let (None, Some(id)) = (self.client, self.resume_id.clone()) else { return };
        let (client, resumed) = stage.resume_as(self.local, self.generation, &id, self.arrived);
        let Ok(resumed) = resumed else { return self.give_up() };
        (self.client, self.managed) = (Some(client), true);
        self.cover(resumed.h);
        for sent in std::mem::take(&mut self.open) {
            match sent {
                Some((id, message)) => self.send_message(stage, id, &message),
                None => self.send(stage, "<presence/>"),
            }
        }
    }

    fn cover(&mut self, h: u32) {
        let count = (h.wrapping_sub(self.covered) as usize).min(self.open.len());
        self.open.drain(..count);
        self.covered = h;
    }

    /// Reads what has come.
    pub(super) fn listen(&mut self, stage: &mut Stage) {
        let Some(client) = self.client else { return };
        for element in stage.received(client) {
            if let Some(h) = element.strip_prefix("<a xmlns='urn:xmpp:sm:3' h='") {
                self.cover(h.trim_end_matches("'/>").parse().unwrap());
            } else if element.contains("type='error'") {
                let id = element.split("id='").nth(1).and_then(|rest| rest.split('\'').next());
                for sent in &mut self.open {
                    if sent.as_ref().is_some_and(|(of, _)| Some(of.as_str()) == id) {
                        *sent = None;
                        break;
                    }
                }
            }
        }
        if stage.closed_with(client).is_some() {
            self.arrived = stage.counted(client);
            self.client = None;
        }
    }
}
