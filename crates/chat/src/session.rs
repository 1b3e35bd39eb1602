//! The conversation: keeps the connection, sends what is typed, shows what comes, answers receipts and markers.
//!
//! Promises: a message typed without a connection goes out with the next one; a message is shown once, whatever the server
//! sends again; a dead connection is noticed within two minutes.

use crate::account::{Account, Profile};
use crate::failure::ChatError;
use crate::files::{Files, News as FileNews};
use crate::input::Input;
use crate::line::{Line, help, number};
use crate::outbox::{Mark, News, Outbox};
use crate::people::People;
use crate::place::Place;
use crate::show::{Style, bare, harmless, incoming, name};
use crate::{Options, Output, draw, say};
use chaski_client::message::{self, Received};
use chaski_client::{Client, ClientError, Connected, Element, Event, Security, UNMARKED};
use chaski_xmpp::BareJid;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How long to wait before the first attempt to connect again, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(30));
/// After so much silence the connection is probed; after as much more it is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// At the end of the input: most time for the server to accept what was typed.
const FAREWELL: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(50);
/// Messages that are recognised when they come again.
const SEEN_MAX: usize = 1_000;

/// See the module.
pub struct Session {
    client: Client,
    profile: Option<Profile>,
    jid: String,
    domain: String,
    input: Input,
    out: Output,
    partner: Option<String>,
    outbox: Outbox,
    people: People,
    files: Files,
    style: Style,
    /// Stanza-ids, or sender and id, of what was shown.
    seen: VecDeque<String>,
    /// When to stop, once there is nothing more to send.
    farewell: Option<Instant>,
    retry: Duration,
    /// What was heard at the last look, and whether it was probed since.
    heard: (u64, bool),
}

impl Session {
    /// Not connected yet.
    pub fn new(account: Account, options: &Options, input: Input, out: Output) -> Self {
        let domain = account.settings.target.domain.clone();
        let trust = match &account.settings.target.security {
            Security::StartTls(trust) | Security::Direct(trust) => Some(trust.clone()),
            Security::Plain => None,
        };
        Self {
            client: Client::new(account.settings),
            profile: account.profile,
            jid: account.jid,
            domain,
            input,
            out,
            partner: None,
            outbox: Outbox::default(),
            people: People::default(),
            files: Files::new(options.downloads.clone(), trust),
            style: options.style,
            seen: VecDeque::new(),
            farewell: None,
            retry: RETRY.0,
            heard: (0, false),
        }
    }

    /// Chats until the end. A first connection that fails is an error; later ones are tried again.
    pub async fn run(mut self) -> Result<(), ChatError> {
        self.connect().await?;
        self.keep_device()?;
        say(&mut self.out, &format!("Connected as {}. /help shows what can be typed.", self.jid))?;
        loop {
            match self.talk().await? {
                None => break,
                Some(error) => self.reconnect(error).await?,
            }
        }
        match self.client.unaccepted() {
            _ if !self.client.is_managed() => {}
            0 => {}
            count => return Err(ChatError::Unsent(count)),
        }
        self.client.close().await;
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connected, ClientError> {
        let connected = self.client.connect().await?;
        if connected == Connected::Bound {
            self.people.forget_presence();
            self.client.send(UNMARKED, People::ask())?;
            self.client.send(UNMARKED, message::presence())?;
        }
        self.retry = RETRY.0;
        self.heard = (self.client.heard(), false);
        Ok(connected)
    }

    /// The next run logs in with what this login has left.
    fn keep_device(&mut self) -> Result<(), ChatError> {
        match (&mut self.profile, self.client.device()) {
            (Some(profile), Some(device)) => profile.keep(device),
            _ => Ok(()),
        }
    }

    /// Until the connection is lost (its error) or the chat is over.
    async fn talk(&mut self) -> Result<Option<ClientError>, ChatError> {
        let mut looks = interval(SILENCE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            if self.is_over() {
                return Ok(None);
            }
            let farewell = self.farewell;
            tokio::select! {
                event = self.client.next() => match event {
                    Ok(event) => self.take(event)?,
                    Err(error) => return Ok(Some(error)),
                },
                line = self.input.line(), if farewell.is_none() => self.typed(line)?,
                news = self.files.news() => self.carried(news)?,
                _ = looks.tick() => {
                    if !self.is_alive() {
                        self.client.disconnect();
                        return Ok(Some(ClientError::TimedOut));
                    }
                }
                // What is accepted without a mark (receipts) is no event, so it has to be looked at.
                () = until(farewell.map(|end| end.min(Instant::now() + GLANCE))) => {
                    // What is being carried gives up by itself when it does not move.
                    if self.files.is_busy() {
                        self.farewell = farewell.map(|_| Instant::now() + FAREWELL);
                    } else if farewell.is_some_and(|end| end <= Instant::now()) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The input has ended and the server has everything.
    fn is_over(&self) -> bool {
        let sent = self.client.unaccepted() == 0 && self.client.unsent_bytes() == 0;
        self.farewell.is_some() && self.client.is_connected() && sent && !self.files.is_busy()
    }

    fn is_alive(&mut self) -> bool {
        let heard = self.client.heard();
        if heard != self.heard.0 {
            self.heard = (heard, false);
        } else if self.heard.1 {
            return false;
        } else {
            self.client.probe();
            self.heard.1 = true;
        }
        true
    }

    /// Tries until it works. What is typed meanwhile waits.
    async fn reconnect(&mut self, error: ClientError) -> Result<(), ChatError> {
        if error.is_final() {
            return Err(error.into());
        }
        say(&mut self.out, &format!("- {error}; connecting again"))?;
        let mut next = Instant::now() + self.retry;
        loop {
            let farewell = self.farewell;
            tokio::select! {
                () = sleep_until(next) => {}
                line = self.input.line(), if farewell.is_none() => {
                    self.typed(line)?;
                    continue;
                }
                () = until(farewell) => return Err(ChatError::Unsent(self.client.unaccepted())),
            }
            let connected = self.connect().await;
            self.keep_device()?;
            match connected {
                Ok(Connected::Resumed) => {
                    return Ok(say(&mut self.out, "- connected again, session resumed")?);
                }
                Ok(Connected::Bound) => return Ok(say(&mut self.out, "- connected again")?),
                Err(error) if error.is_final() => return Err(error.into()),
                Err(_) => {
                    self.retry = (self.retry * 2).min(RETRY.1);
                    next = Instant::now() + self.retry;
                }
            }
        }
    }

    fn typed(&mut self, line: Option<String>) -> Result<(), ChatError> {
        let Some(line) = line else {
            self.say_goodbye();
            return Ok(());
        };
        match Line::parse(&line) {
            Line::Empty => {}
            Line::Quit => self.say_goodbye(),
            Line::Help(topic) => say(&mut self.out, &help(&topic))?,
            Line::Who => self.show_who()?,
            Line::Name(number, name) => self.rename(number, &name)?,
            Line::Wrong(why) => say(&mut self.out, &format!("- {}", harmless(&why)))?,
            Line::Text(text) => self.send(&text, message::chat)?,
            Line::Link(url) => self.send(&url, message::link)?,
            Line::File(path) => self.send_file(&path)?,
            Line::Get(number) => {
                if let Err(why) = self.files.download(number) {
                    say(&mut self.out, &format!("- {why}"))?;
                }
            }
            Line::Place(place) => self.send_place(place)?,
            Line::To(address, text) => {
                if self.choose(&address)? {
                    match text {
                        Some(text) => self.send(&text, message::chat)?,
                        None => say(&mut self.out, &format!("- talking to {}", harmless(&address)))?,
                    }
                }
            }
        }
        Ok(())
    }

    fn say_goodbye(&mut self) {
        self.farewell = self.farewell.or(Some(Instant::now() + FAREWELL));
    }

    /// Makes this the partner. False: it is no address.
    fn choose(&mut self, address: &str) -> Result<bool, ChatError> {
        let jid = match (number(address), self.people.named(address).as_slice()) {
            (Some(number), _) => format!("{number}@{}", self.domain),
            (None, [jid]) => (*jid).to_owned(),
            (None, []) => address.to_owned(),
            (None, several) => {
                let several: Vec<&str> = several.iter().map(|jid| name(jid, &self.domain)).collect();
                let told = format!("- several have that name: {}; type /to and a number", several.join(", "));
                say(&mut self.out, &harmless(&told))?;
                return Ok(false);
            }
        };
        match BareJid::parse(&jid) {
            Ok(jid) if jid.local().is_some() => {
                self.partner = Some(jid.as_str().to_owned());
                Ok(true)
            }
            _ => {
                say(
                    &mut self.out,
                    &format!(
                        "- \"{}\" is no address and no name of the phone book; type +NUMBER or user@domain",
                        harmless(address)
                    ),
                )?;
                Ok(false)
            }
        }
    }

    fn show_who(&mut self) -> Result<(), ChatError> {
        let who = self.people.who();
        if who.is_empty() {
            return Ok(say(
                &mut self.out,
                "- nobody is in the phone book; /name +NUMBER NAME puts somebody there",
            )?);
        }
        for (jid, called, show) in who {
            let address = harmless(name(jid, &self.domain));
            let who = match called {
                Some(called) => format!("{} ({address})", self.style.person(&harmless(called))),
                None => self.style.person(&address),
            };
            let show = match show {
                Some(show) => self.style.good(&harmless(show)),
                None => self.style.aside("not here, as far as they show"),
            };
            say(&mut self.out, &format!("  {who}: {show}"))?;
        }
        Ok(())
    }

    fn rename(&mut self, number: Option<String>, called: &str) -> Result<(), ChatError> {
        let jid = number.map(|number| format!("{number}@{}", self.domain)).or_else(|| self.partner.clone());
        let Some(jid) = jid else {
            return Ok(say(&mut self.out, "- whose name? Type /name +NUMBER NAME")?);
        };
        if !self.client.has_room() {
            return Ok(say(&mut self.out, "- too much waits to be sent; try again later")?);
        }
        let set = self.people.rename(&jid, called);
        self.client.send(UNMARKED, set)?;
        let address = harmless(name(&jid, &self.domain));
        Ok(say(&mut self.out, &format!("- {address} is {} from now on", harmless(called)))?)
    }

    /// How somebody is called here.
    fn called(&self, jid: &str) -> String {
        self.people.name_of(jid).unwrap_or_else(|| name(jid, &self.domain)).to_owned()
    }

    fn send_place(&mut self, place: Place) -> Result<(), ChatError> {
        self.send(&place.uri(), message::chat)
    }

    fn send_file(&mut self, path: &str) -> Result<(), ChatError> {
        let Some(partner) = self.partner.clone() else {
            return Ok(say(&mut self.out, "- to whom? Type /to +NUMBER first")?);
        };
        let home = path.strip_prefix("~/").zip(std::env::home_dir());
        let path = home.map_or_else(|| PathBuf::from(path), |(path, home)| home.join(path));
        match self.files.upload(path, &partner, format!("upload.{}", self.domain)) {
            Ok(()) => Ok(()),
            Err(why) => Ok(say(&mut self.out, &format!("- {why}"))?),
        }
    }

    /// What a transfer says.
    fn carried(&mut self, news: FileNews) -> Result<(), ChatError> {
        match news {
            FileNews::Ask(id, stanza, reply) => {
                // Without room it is not asked, and says so in time.
                if self.client.send(UNMARKED, stanza).is_ok() {
                    self.files.await_answer(id, reply);
                }
            }
            FileNews::Moved(moved) => match moved.line(self.style) {
                Some(line) if self.style.redraws && !moved.is_whole() => {
                    draw(&mut self.out, &harmless(&line))?
                }
                Some(line) => say(&mut self.out, &harmless(&line))?,
                None => {}
            },
            FileNews::Send { to, id, stanza, url } => {
                let number = self.outbox.sent(&id, &to);
                if self.client.send(number, stanza).is_err() {
                    return Ok(say(&mut self.out, "- too much waits to be sent; not sent, try again later")?);
                }
                let file = self.files.note(&url);
                let to = self.style.person(&harmless(&self.called(&to)));
                say(&mut self.out, &format!("  #{number} to {to}: {} (file {file})", harmless(&url)))?;
            }
            FileNews::Say(line) => say(&mut self.out, &harmless(&line))?,
            FileNews::Over => {}
        }
        Ok(())
    }

    fn send(&mut self, text: &str, compose: fn(&str, &str, &str) -> Vec<u8>) -> Result<(), ChatError> {
        let Some(partner) = self.partner.clone() else {
            return Ok(say(&mut self.out, "- to whom? Type +NUMBER and the text, or /to +NUMBER first")?);
        };
        if !self.client.has_room() {
            return Ok(say(&mut self.out, "- too much waits to be sent; not sent, try again later")?);
        }
        let id = message::new_id();
        let number = self.outbox.sent(&id, &partner);
        // There is room, so it can't be refused.
        self.client.send(number, compose(&partner, &id, text))?;
        let to = self.style.person(&harmless(&self.called(&partner)));
        Ok(say(&mut self.out, &format!("  #{number} to {to}: {}", harmless(text)))?)
    }

    fn take(&mut self, event: Event) -> Result<(), ChatError> {
        match event {
            Event::Accepted(numbers) => {
                for number in numbers {
                    let news = self.outbox.accepted(number);
                    self.show_marks(news)?;
                }
                Ok(())
            }
            Event::Stanza(element) => self.stanza(&element),
        }
    }

    fn stanza(&mut self, element: &Element) -> Result<(), ChatError> {
        let stanza = element.stanza();
        let Some(received) = Received::read(&stanza) else {
            if self.files.take(&stanza, element) {
                return Ok(());
            }
            self.people.take(&stanza, &self.jid);
            return Ok(());
        };
        let from = bare(&received.from).to_owned();
        if let Some((condition, text)) = &received.error {
            return self.refused(&received, condition, text.as_deref());
        }
        if let Some(id) = &received.receipt_for {
            let news = self.outbox.delivered(&from, id);
            self.show_marks(news)?;
        }
        if let Some(id) = &received.displayed {
            let news = self.outbox.read(&from, id);
            self.show_marks(news)?;
        }
        let Some(text) = incoming(&received, &self.called(&received.from), self.style) else { return Ok(()) };
        if self.is_new(&received) {
            match received.link.as_deref().map(|link| self.files.note(link)) {
                Some(file) => say(&mut self.out, &format!("{text} (/get {file})"))?,
                None => say(&mut self.out, &text)?,
            }
            // The server tells of a gap in its own name; nobody answers it.
            if from != self.domain {
                self.partner.get_or_insert_with(|| from.clone());
            }
        }
        self.answer(&received, &from);
        Ok(())
    }

    fn show_marks(&mut self, news: Vec<News>) -> Result<(), ChatError> {
        for (number, mark) in news {
            let shown = match mark {
                Mark::Accepted => format!("✓  #{number} accepted"),
                Mark::Delivered => format!("✓✓ #{number} delivered"),
                Mark::Read => self.style.good(&format!("✓✓ #{number} read")),
                Mark::Sent | Mark::Refused => continue,
            };
            say(&mut self.out, &shown)?;
        }
        Ok(())
    }

    /// Our own message has come back.
    fn refused(&mut self, received: &Received, condition: &str, text: Option<&str>) -> Result<(), ChatError> {
        let from = bare(&received.from);
        let number = received.id.as_deref().and_then(|id| self.outbox.refused(from, id));
        let Some(number) = number else { return Ok(()) };
        let why = match (condition, text) {
            ("service-unavailable", _) => "there is no such account, or it does not take messages from here",
            ("resource-constraint", _) => "the recipient's mailbox is full; try again later",
            ("remote-server-not-found", _) => "there is no such server",
            (_, Some(text)) => text,
            (condition, None) => condition,
        };
        let told = format!("✗  #{number} not delivered: {}", harmless(why));
        Ok(say(&mut self.out, &self.style.bad(&told))?)
    }

    /// Whether it was not shown before. Servers may send again after a fault, with the same stanza-id.
    fn is_new(&mut self, received: &Received) -> bool {
        let key = match (&received.stanza_id, &received.id) {
            (Some(id), _) => id.clone(),
            (None, Some(id)) => format!("{} {id}", received.from),
            (None, None) => return true,
        };
        if self.seen.contains(&key) {
            return false;
        }
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(key);
        true
    }

    /// It has arrived, and on a terminal what is shown is read. If too much waits, the other side misses marks, no more.
    fn answer(&mut self, received: &Received, from: &str) {
        let Some(about) = &received.id else { return };
        if received.wants_receipt {
            let _ = self.client.send(UNMARKED, message::receipt(from, &message::new_id(), about));
        }
        if received.markable {
            let _ = self.client.send(UNMARKED, message::displayed(from, &message::new_id(), about));
        }
    }
}

/// Until then, or for ever.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
