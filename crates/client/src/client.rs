//! An account on a device, over as many connections as it takes.
//!
//! Owns what must survive a broken connection: which session to resume, how much of it is handled, what the server has
//! not accepted yet (XEP-0198). Promises:
//! - what was given to [`Client::send`] is sent until the server's `<a/>` covers it, always in the same order and with
//!   the same bytes, so that a server that has it already knows it again;
//! - a stanza that [`Client::next`] returned counts as handled when `next` is called again, not earlier;
//! - `next` can be dropped half way (in `select!`) without losing anything;
//! - after an error there is no connection, and [`Client::connect`] makes the next one. When, is the caller's decision.

use crate::answer;
use crate::device::Device;
use crate::error::ClientError;
use crate::link::{Element, Link};
use crate::login;
use crate::login::Entered;
use crate::target::Target;
use chaski_xmpp::sasl::client::Credentials;
use chaski_xmpp::sm::{self, Nonza, Outbound};
use chaski_xmpp::stream::client::{Features, bound_jid, write_bind};
use chaski_xmpp::stream::{Access, Admission, Framing, InlineBind, InlineEnable, InlineResume, Wishes};
use chaski_xmpp::{Kind, ns};
use std::collections::VecDeque;
use std::time::Duration;

/// The id of our bind request.
const BIND_ID: &str = "bind";
/// Elements that may come before a session is complete. More is no XMPP server.
const EARLY_MAX: usize = 256;
/// Most bytes that wait for a slow connection.
const UNSENT_BYTES_MAX: usize = 16 << 20;
/// The mark of stanzas of whose acceptance nobody wants to hear.
pub const UNMARKED: u64 = u64::MAX;

/// Who logs in where, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server.
    pub target: Target,
    /// The local part of the address.
    pub user: String,
    /// The key or password.
    pub key: String,
    /// The resource; `None`: the server chooses. With a device: the first part of it.
    pub resource: Option<String>,
    /// Which installation this is. With one, and a server that can, a login is one exchange (XEP-0388), and from the
    /// second on one message, by a token; [`Client::device`] has it.
    pub device: Option<Device>,
    /// Whether to use stream management where it is offered.
    pub stream_management: bool,
    /// Most stanzas that wait to be accepted; more are refused.
    pub unaccepted_max: usize,
    /// Most time for connecting and logging in.
    pub login_timeout: Duration,
}

impl Settings {
    /// With stream management, 10,000 stanzas waiting at most, 30 seconds for the login.
    pub fn new(target: Target, user: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            target,
            user: user.into(),
            key: key.into(),
            resource: None,
            device: None,
            stream_management: true,
            unaccepted_max: 10_000,
            login_timeout: Duration::from_secs(30),
        }
    }
}

/// What a connection became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connected {
    /// A session that goes on.
    Resumed,
    /// A new session: presence is to be sent.
    Bound,
}

/// What happens on a connection.
#[derive(Debug)]
pub enum Event {
    /// A message, a presence, or an answer to a request of ours.
    Stanza(Element),
    /// The server has taken responsibility for the stanzas sent with these marks, in this order.
    Accepted(Vec<u64>),
}

/// A stanza that the server has not accepted yet.
#[derive(Debug)]
struct Sent {
    mark: u64,
    bytes: Box<[u8]>,
}

/// See the module.
pub struct Client {
    settings: Settings,
    link: Option<Link>,
    jid: Option<String>,
    /// Whether the connection has stream management.
    managed: bool,
    resume_id: Option<String>,
    /// Stanzas of the session that are handled, modulo 2^32.
    handled: u32,
    /// The last stanza that [`Client::next`] returned is being handled by the caller.
    handing: bool,
    outbound: Outbound<Sent>,
    /// An `<r/>` is out.
    requested: bool,
    ready: VecDeque<Event>,
    /// Elements that came, on all connections.
    heard: u64,
    /// Requests for an acknowledgement that were answered, on all connections.
    answered: u64,
    /// Stanzas that came before the session was managed: they are in no count.
    early: VecDeque<Element>,
}

impl Client {
    /// Not connected yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            link: None,
            jid: None,
            managed: false,
            resume_id: None,
            handled: 0,
            handing: false,
            outbound: Outbound::new(),
            requested: false,
            ready: VecDeque::new(),
            early: VecDeque::new(),
            heard: 0,
            answered: 0,
        }
    }

    /// The full JID of the last session.
    pub fn jid(&self) -> Option<&str> {
        self.jid.as_deref()
    }

    /// The device with the token that it has now: to be kept, if there is to be another run.
    pub fn device(&self) -> Option<&Device> {
        self.settings.device.as_ref()
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Whether the connection has stream management, so that [`Event::Accepted`] will come.
    pub fn is_managed(&self) -> bool {
        self.managed
    }

    /// How many stanzas wait to be accepted.
    pub fn unaccepted(&self) -> usize {
        self.outbound.len()
    }

    /// Bytes that wait to be written to the connection.
    pub fn unsent_bytes(&self) -> usize {
        self.link.as_ref().map_or(0, Link::unsent_bytes)
    }

    /// How many elements have come, whether or not they became events: grows as long as the connection lives.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// How many times the server has asked what was handled, and was told. It asks again only when it has the answer.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// The settings; they apply from the next connection on.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Connects and logs in; resumes the last session if that is possible, and sends again what was not accepted.
    /// A new session's first presence is the caller's to send.
    pub async fn connect(&mut self) -> Result<Connected, ClientError> {
        self.disconnect();
        let timeout = self.settings.login_timeout;
        tokio::time::timeout(timeout, self.try_connect()).await.map_err(|_| ClientError::TimedOut)?
    }

    /// Drops the connection as a tunnel does. The session can be resumed.
    pub fn disconnect(&mut self) {
        self.link = None;
        self.requested = false;
        if std::mem::take(&mut self.handing) {
            self.handled = self.handled.wrapping_add(1);
        }
    }

    /// Forgets the session, but not what waits to be accepted: the next connection binds a new one.
    pub fn forget_session(&mut self) {
        self.resume_id = None;
    }

    /// Ends session and connection in order.
    pub async fn close(&mut self) {
        let link = self.link.take();
        self.disconnect();
        self.forget_session();
        if let Some(mut link) = link {
            if std::mem::take(&mut self.managed) {
                // XEP-0198 §4: else what has been handled would be delivered again to the next session.
                sm::write_ack(link.out(), self.handled);
            }
            // The server knows by then, or is gone.
            let _ = tokio::time::timeout(Duration::from_secs(5), link.close()).await;
        }
    }

    /// Sends a stanza, now or with the next connection: it leaves while [`next`](Self::next) is polled. `mark` comes back in
    /// [`Event::Accepted`], unless it is [`UNMARKED`].
    pub fn send(&mut self, mark: u64, stanza: Vec<u8>) -> Result<(), ClientError> {
        if !self.has_room() {
            return Err(ClientError::QueueFull);
        }
        if let Some(link) = &mut self.link {
            link.out().extend_from_slice(&stanza);
        }
        if self.managed || self.link.is_none() {
            let sent = Sent { mark, bytes: stanza.into() };
            self.outbound.sent(sent, usize::MAX).map_err(|_| ClientError::QueueFull)?;
        }
        Ok(())
    }

    /// Whether [`send`](Self::send) would take one more.
    pub fn has_room(&self) -> bool {
        self.outbound.len() < self.settings.unaccepted_max && self.unsent_bytes() < UNSENT_BYTES_MAX
    }

    /// Asks the server for an answer, so that a dead connection shows. With stream management by `<r/>`, else by a ping,
    /// whose result comes as [`Event::Stanza`].
    pub fn probe(&mut self) {
        let Some(link) = &mut self.link else { return };
        if self.managed {
            sm::write_request(link.out());
            self.requested = true;
        } else {
            link.out().extend_from_slice(b"<iq type='get' id='probe'><ping xmlns='urn:xmpp:ping'/></iq>");
        }
    }

    /// The next event. See the module for what it promises.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        let result = self.try_next().await;
        if result.is_err() {
            self.disconnect();
        }
        result
    }

    async fn try_next(&mut self) -> Result<Event, ClientError> {
        if std::mem::take(&mut self.handing) {
            self.handled = self.handled.wrapping_add(1);
        }
        if let Some(element) = self.early.pop_front() {
            return Ok(Event::Stanza(element));
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.handing = matches!(event, Event::Stanza(_)) && self.managed;
                return Ok(event);
            }
            self.request();
            let link = self.link.as_mut().ok_or(ClientError::NotConnected)?;
            let element = link.element().await?;
            self.heard += 1;
            self.take(element)?;
        }
    }

    /// One `<r/>` is out as long as something is unaccepted.
    fn request(&mut self) {
        let Some(link) = &mut self.link else { return };
        if self.managed && !self.requested && !self.outbound.is_empty() {
            sm::write_request(link.out());
            self.requested = true;
        }
    }

    fn take(&mut self, element: Element) -> Result<(), ClientError> {
        let stanza = element.stanza();
        if stanza.kind() == Kind::Nonza {
            return match Nonza::parse(&stanza.root()) {
                Some(Ok(Nonza::Ack { h })) => self.acknowledged(h),
                Some(Ok(Nonza::Request)) => {
                    let h = self.handled;
                    self.answered += 1;
                    if let Some(link) = self.link.as_mut().filter(|_| self.managed) {
                        sm::write_ack(link.out(), h);
                    }
                    Ok(())
                }
                // Elements that we know nothing of are no stanzas and need no answer.
                _ => Ok(()),
            };
        }
        let mut answer = Vec::new();
        if answer::answer(&stanza, &mut answer) {
            let is_push = stanza.has_child("query", ns::ROSTER);
            drop(stanza);
            if is_push {
                // Answered for the caller, who wants to know what it says, and so counted when it is handed over.
                self.ready.push_back(Event::Stanza(element));
            } else {
                self.handled = self.handled.wrapping_add(u32::from(self.managed));
            }
            // Answers to requests of others are not worth a mark; they are counted like every stanza.
            return self.send(UNMARKED, answer);
        }
        drop(stanza);
        self.ready.push_back(Event::Stanza(element));
        Ok(())
    }

    fn acknowledged(&mut self, h: u32) -> Result<(), ClientError> {
        self.requested = false;
        let acked = self
            .outbound
            .ack(h)
            .map_err(|_| ClientError::Protocol("an acknowledgement of more than was sent"))?;
        let marks: Vec<u64> = acked.map(|sent| sent.mark).filter(|&mark| mark != UNMARKED).collect();
        if !marks.is_empty() {
            self.ready.push_back(Event::Accepted(marks));
        }
        Ok(())
    }

    async fn try_connect(&mut self) -> Result<Connected, ClientError> {
        let settings = &self.settings;
        let credentials =
            Credentials { username: settings.user.clone(), password: settings.key.clone(), authzid: None };
        let target = settings.target.clone();
        // A copy: this may be given up half way.
        let (mut link, features) = match self.settings.device.clone() {
            None => login::authenticated(&target, &credentials).await?,
            Some(mut device) => {
                let wishes = self.wishes();
                let entered = login::enter(&target, &credentials, &mut device, wishes).await;
                self.settings.device = Some(device);
                match entered? {
                    Entered::NotOffered(link, features) => {
                        login::go_on(link, features, &target, &credentials).await?
                    }
                    Entered::Admitted(link, admission) => match self.admitted(link, *admission).await? {
                        Ok(connected) => return Ok(connected),
                        Err(classic) => classic,
                    },
                }
            }
        };
        let previd = self.resume_id.clone().filter(|_| features.stream_management);
        if let Some(previd) = previd
            && self.resume(&mut link, &previd).await?
        {
            self.link = Some(link);
            return Ok(Connected::Resumed);
        }
        self.bind(&mut link, &features).await?;
        self.link = Some(link);
        Ok(Connected::Bound)
    }

    /// XEP-0198 §5. False: the session is lost, and the server may have said how far it got.
    async fn resume(&mut self, link: &mut Link, previd: &str) -> Result<bool, ClientError> {
        sm::write_resume(link.out(), previd, self.handled);
        let element = link.element().await?;
        match Nonza::parse(&element.stanza().root()) {
            Some(Ok(Nonza::Resumed { h, .. })) => {
                self.acknowledged(h)?;
                self.managed = true;
                self.send_again(link);
                Ok(true)
            }
            Some(Ok(Nonza::Failed { h })) => {
                self.resume_id = None;
                if let Some(h) = h {
                    self.acknowledged(h)?;
                }
                Ok(false)
            }
            _ => Err(ClientError::Protocol("no answer to <resume/>")),
        }
    }

    /// All that we want of a login in one exchange.
    fn wishes(&self) -> Wishes {
        let previd = self.resume_id.clone();
        let enable = InlineEnable { resume: true, max_s: None };
        let bind = InlineBind {
            tag: self.settings.resource.clone(),
            enable: self.settings.stream_management.then_some(enable),
            ..InlineBind::default()
        };
        Wishes {
            resume: previd.map(|previd| InlineResume { previd, h: self.handled }),
            bind: Some(bind),
            ..Wishes::default()
        }
    }

    /// What came of them. The inner error is no error: the link and its features for the classic way.
    async fn admitted(
        &mut self,
        mut link: Link,
        admission: Admission,
    ) -> Result<Result<Connected, (Link, Features)>, ClientError> {
        if let Some(lost) = admission.lost {
            self.resume_id = None;
            if let Some(h) = lost {
                self.acknowledged(h)?;
            }
        }
        match admission.access {
            Access::Resumed { h, .. } => {
                self.acknowledged(h)?;
                self.managed = true;
                self.send_again(&mut link);
                self.link = Some(link);
                Ok(Ok(Connected::Resumed))
            }
            Access::Bound { enabled, .. } => {
                self.managed = enabled.is_some();
                self.handled = 0;
                self.resume_id = enabled.and_then(|enabled| enabled.id);
                self.jid = Some(admission.jid);
                self.begin_anew(&mut link);
                self.link = Some(link);
                Ok(Ok(Connected::Bound))
            }
            Access::Authenticated => {
                let features = login::features_of(&mut link).await?;
                Ok(Err((link, features)))
            }
        }
    }

    fn send_again(&mut self, link: &mut Link) {
        for sent in self.outbound.iter() {
            link.out().extend_from_slice(&sent.bytes);
        }
    }

    async fn bind(&mut self, link: &mut Link, features: &Features) -> Result<(), ClientError> {
        if !features.bind {
            return Err(ClientError::NotOffered("resource binding"));
        }
        self.resume_id = None;
        self.managed = false;
        self.handled = 0;
        write_bind(Framing::Tcp, BIND_ID, self.settings.resource.as_deref(), link.out());
        let mut early = VecDeque::new();
        let answer = wait_for(link, &mut early, |element| {
            let stanza = element.stanza();
            stanza.kind() == Kind::Iq && stanza.id().as_deref() == Some(BIND_ID)
        });
        let answer = answer.await?;
        self.jid =
            Some(bound_jid(&answer.stanza()).ok_or_else(|| ClientError::NotBound(condition(&answer)))?);
        if features.stream_management && self.settings.stream_management {
            self.enable(link, &mut early).await?;
        }
        self.begin_anew(link);
        self.early.extend(early);
        Ok(())
    }

    /// The counts begin anew, with everything that is still unaccepted.
    fn begin_anew(&mut self, link: &mut Link) {
        let waiting = std::mem::take(&mut self.outbound).into_unacked();
        for sent in waiting {
            link.out().extend_from_slice(&sent.bytes);
            if self.managed {
                let _ = self.outbound.sent(sent, usize::MAX);
            }
        }
    }

    async fn enable(&mut self, link: &mut Link, early: &mut VecDeque<Element>) -> Result<(), ClientError> {
        sm::write_enable(link.out(), true);
        let answer = wait_for(link, early, |element| element.stanza().ns() == ns::SM).await?;
        let stanza = answer.stanza();
        match Nonza::parse(&stanza.root()) {
            Some(Ok(Nonza::Enabled { id, resume, .. })) => {
                self.resume_id = id.filter(|_| resume).map(|id| id.into_owned());
                self.managed = true;
                Ok(())
            }
            Some(Ok(Nonza::Failed { .. })) => Ok(()),
            _ => Err(ClientError::Protocol("no answer to <enable/>")),
        }
    }
}

/// Reads up to the element that is asked for; stanzas that come before it are kept.
async fn wait_for(
    link: &mut Link,
    early: &mut VecDeque<Element>,
    is_it: impl Fn(&Element) -> bool,
) -> Result<Element, ClientError> {
    loop {
        let element = link.element().await?;
        if is_it(&element) {
            return Ok(element);
        }
        if early.len() >= EARLY_MAX {
            return Err(ClientError::Protocol("too much before the session is complete"));
        }
        if element.stanza().kind() != Kind::Nonza {
            early.push_back(element);
        }
    }
}

/// The condition of an error, for a person.
fn condition(answer: &Element) -> String {
    let stanza = answer.stanza();
    let condition = stanza.child("error", ns::CLIENT).and_then(|error| {
        error.children().find(|child| child.ns() == ns::STANZA_ERRORS).map(|child| child.name().to_owned())
    });
    condition.unwrap_or_else(|| "no address in its answer".into())
}

#[cfg(test)]
mod tests;
