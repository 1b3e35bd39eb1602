//! One of the two in a demo: a phone that registers, sends, answers with receipts and markers, loses its network and comes back.

use super::stage::Stage;
use crate::failure::Failure;
use chaski_chat::outbox::{Mark, News, Outbox};
use chaski_chat::show::bare;
use chaski_client::message::{self, Received};
use chaski_client::registration::{Proofs, Registration};
use chaski_client::{Client, Element, Event, Security, Settings, Target, Trust, UNMARKED};

/// What happened to somebody, as far as it is to be shown.
pub(super) enum Seen {
    Nothing,
    /// Marks that messages have reached.
    Marks(Vec<&'static str>),
    /// A message.
    Text {
        text: String,
        has_waited: bool,
    },
}

pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) number: &'static str,
    /// With which it registered.
    pub(super) code: String,
    pub(super) is_here: bool,
    domain: String,
    client: Client,
    outbox: Outbox,
    /// Messages sent, and of those the accepted and the read ones.
    counts: [u64; 3],
}

impl Person {
    /// Registers the number as a phone does, and connects.
    pub(super) async fn register(
        stage: &mut Stage,
        name: &'static str,
        number: &'static str,
    ) -> Result<Self, Failure> {
        let trust = Trust::file(&stage.server.ca)?;
        let registration = Registration::new(&stage.server.register_url(), &trust)?;
        let begun = registration.begin(number).await?;
        let code = stage.code_for(number).await?;
        let registered = registration.confirm(&begun.id, &code, "demo", Proofs::default()).await?;
        let (at, _) =
            stage.server.client_address().ok_or_else(|| Failure::new("the demo's server has no listener"))?;
        let target = Target {
            host: at.ip().to_string(),
            port: at.port(),
            security: Security::Direct(trust),
            domain: registered.domain.clone(),
        };
        let client = Client::new(Settings::new(target, number, registered.key));
        let (domain, outbox) = (registered.domain, Outbox::default());
        let mut person = Self { name, number, code, is_here: false, domain, client, outbox, counts: [0; 3] };
        person.come_back().await?;
        person.is_seen().await?;
        Ok(person)
    }

    /// Until the server has said that this phone is there: its own presence is the first thing that comes (RFC 6121 §4.2.2).
    async fn is_seen(&mut self) -> Result<(), Failure> {
        while !matches!(self.client.next().await?, Event::Stanza(_)) {}
        Ok(())
    }

    pub(super) fn address(&self) -> String {
        format!("{}@{}", self.number, self.domain)
    }

    pub(super) async fn come_back(&mut self) -> Result<(), Failure> {
        self.client.connect().await?;
        self.client.send(UNMARKED, message::presence())?;
        self.is_here = true;
        Ok(())
    }

    pub(super) async fn leave(&mut self) {
        self.is_here = false;
        self.client.close().await;
    }

    pub(super) fn send(&mut self, to: &str, text: &str) -> Result<(), Failure> {
        let id = message::new_id();
        let number = self.outbox.sent(&id, to);
        self.counts[0] += 1;
        Ok(self.client.send(number, message::chat(to, &id, text))?)
    }

    pub(super) fn is_all_accepted(&self) -> bool {
        self.counts[1] == self.counts[0]
    }

    pub(super) fn is_all_read(&self) -> bool {
        self.counts[2] == self.counts[0]
    }

    /// Whether the server has all receipts and markers.
    pub(super) fn has_answered(&self) -> bool {
        self.client.unaccepted() == 0
    }

    /// The next thing that happens.
    pub(super) async fn next(&mut self) -> Result<Seen, Failure> {
        match self.client.next().await? {
            Event::Accepted(numbers) => {
                let news = numbers.into_iter().flat_map(|number| self.outbox.accepted(number)).collect();
                Ok(self.marks(news))
            }
            Event::Stanza(element) => self.stanza(&element),
        }
    }

    fn stanza(&mut self, element: &Element) -> Result<Seen, Failure> {
        let Some(received) = Received::read(&element.stanza()) else { return Ok(Seen::Nothing) };
        let from = bare(&received.from).to_owned();
        if let Some(id) = &received.receipt_for {
            let news = self.outbox.delivered(&from, id);
            return Ok(self.marks(news));
        }
        if let Some(id) = &received.displayed {
            let news = self.outbox.read(&from, id);
            return Ok(self.marks(news));
        }
        let (Some(text), Some(id)) = (received.body, received.id) else { return Ok(Seen::Nothing) };
        self.client.send(UNMARKED, message::receipt(&from, &message::new_id(), &id))?;
        self.client.send(UNMARKED, message::displayed(&from, &message::new_id(), &id))?;
        Ok(Seen::Text { text, has_waited: received.delayed.is_some() })
    }

    fn marks(&mut self, news: Vec<News>) -> Seen {
        let mut shown = Vec::new();
        for (_, mark) in news {
            match mark {
                Mark::Accepted => {
                    self.counts[1] += 1;
                    shown.push("✓  accepted");
                }
                Mark::Delivered => shown.push("✓✓ delivered"),
                Mark::Read => {
                    self.counts[2] += 1;
                    shown.push("✓✓ read");
                }
                Mark::Sent | Mark::Refused => {}
            }
        }
        Seen::Marks(shown)
    }
}
