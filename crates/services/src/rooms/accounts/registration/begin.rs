//! The first half of a registration: a client asks for a code, and it is decided whether one is sent.
//!
//! Requests of clients that have not authenticated are bounded four times: by network, by number, by cost (the block of numbers,
//! the country, the operator's budget), and in total. A client that asks for a number uses up what *its* network may ask for that
//! number. Only many networks together use up what there is for the number, and then [`super::joined`] lets its owner register.
//! Called through [`Registrar`] only.

use super::session::Session;
use super::{Begun, Delivery, Registrar, RegistrationError, Request, TEXT_CHARS_MAX, TestNumbers, Transport};
use crate::account::phone::Phone;
use crate::allowance::record_key;
use crate::rooms::accounts::limits::{LimitError, Limiter, network_subject, wide_network_subject};
use crate::rooms::accounts::registration::REGISTRATIONS;
use crate::rooms::accounts::verification::{Code, make_id};
use chaski_store::Revision;
use rand::CryptoRng;
use std::net::IpAddr;

impl Registrar {
    /// Begins a registration. The caller sends the code.
    pub fn begin(
        &self,
        request: Request<'_>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Begun, RegistrationError> {
        let phone = self.admit(&request)?;
        let id = make_id(rng);
        self.open(id, None, phone, &request, now_unix_ms, rng)
    }

    /// Begins a registration for a client that knows numbers but no registrations (Quicksy), or sends another code if one waits.
    /// Each network has a registration of its own, so nobody elsewhere can use up its guesses.
    pub fn begin_by_number(
        &self,
        request: Request<'_>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Begun, RegistrationError> {
        let phone = self.admit(&request)?;
        let id = self.number_id(phone, request.network);
        match self.find(&id)? {
            Some((session, _)) if session.is_open(now_unix_ms) => {
                self.again(&id, request.transport, request.network, now_unix_ms, rng)
            }
            found => self.open(id, found.map(|(_, revision)| revision), phone, &request, now_unix_ms, rng),
        }
    }

    /// Sends another code for a registration that [`Self::begin`] has made.
    pub fn send_again(
        &self,
        id: &str,
        transport: Transport,
        network: Option<IpAddr>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Begun, RegistrationError> {
        super::check_id(id)?;
        self.again(id, transport, network, now_unix_ms, rng)
    }

    /// The gateway did not take the code. The next code is due at once, and if this was the registration's first, the
    /// registration does not count against its number. What was charged to networks and to the gateway's budget stays charged.
    pub fn delivery_failed(&self, begun: &Begun, now_unix_ms: u64) -> Result<(), RegistrationError> {
        let Some(delivery) = &begun.delivery else { return Ok(()) };
        if let Some(former) = &begun.former
            && self.latest(delivery.phone)?.as_ref() == Some(&begun.id)
        {
            // The previous code has reached the phone and this one has not; so the previous one is the latest again, unless
            // another code has followed.
            self.note_latest(delivery.phone, former, now_unix_ms)?;
        }
        let Some((mut session, revision)) = self.find(&begun.id)? else { return Ok(()) };
        let (phone, limits) = (delivery.phone, self.limits());
        limits.give_back(self.policy.per_number(), &phone.to_string())?;
        limits.give_back(self.policy.per_block_and_network(), &begun.asker.with_block(phone))?;
        if session.has_sent_once() {
            limits.give_back(self.policy.per_number_and_network(), &begun.asker.with(phone))?;
            self.records.delete_if(REGISTRATIONS, &begun.id, revision)?;
            return Ok(());
        }
        session.take_back(delivery.transport);
        self.write(&begun.id, &session, Some(revision)).map(drop)
    }

    /// Checks what can be checked of a request without the store.
    fn admit(&self, request: &Request<'_>) -> Result<Phone, RegistrationError> {
        if !self.policy.enabled {
            return Err(RegistrationError::Disabled);
        }
        let phone = Phone::parse(request.phone)?;
        if phone.is_fictitious() {
            if self.policy.test_numbers == TestNumbers::Refused {
                return Err(RegistrationError::TestNumber);
            }
        } else if !self.policy.countries.serves(phone.country()) {
            return Err(RegistrationError::NotServed);
        } else if !phone.is_textable() {
            return Err(RegistrationError::NotTextable);
        }
        Ok(phone)
    }

    /// Writes a new registration in place of `replaces` (or of none): with its first code, or joined to another registration.
    fn open(
        &self,
        id: String,
        replaces: Option<Revision>,
        phone: Phone,
        request: &Request<'_>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Begun, RegistrationError> {
        if request.transport == Transport::Voice {
            return Err(RegistrationError::NoVoice);
        }
        let asker = Asker::of(request.network);
        let mut wanted = vec![
            (self.policy.per_number_and_network(), asker.with(phone)),
            (self.policy.for_everybody(), String::new()),
        ];
        wanted.extend(self.budgets(phone, &asker));
        let mut session = Session::new(phone, now_unix_ms);
        session.locale = request.locale.map(cut);
        session.client = request.client.map(cut);
        match self.take(&wanted, now_unix_ms) {
            Err(refused @ RegistrationError::TooMany { limiter, .. })
                if self.policy.is_of_number(limiter) =>
            {
                let joined = self.join((id, replaces, session), phone, asker, now_unix_ms)?;
                return Ok(joined.with_next_sms(&refused));
            }
            taken => taken?,
        }
        let code = self.make_code(phone, rng);
        session.note_sent(Transport::Sms, self.hash(&id, &code), now_unix_ms);
        self.write(&id, &session, replaces)?;
        let former = self.note_latest(phone, &id, now_unix_ms)?;
        self.metrics.begun_total.inc();
        Ok(self.begun((id, asker, former), phone, &session, code, Transport::Sms, now_unix_ms))
    }

    fn again(
        &self,
        id: &str,
        transport: Transport,
        network: Option<IpAddr>,
        now_unix_ms: u64,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Begun, RegistrationError> {
        let (mut session, revision) = self.find(id)?.ok_or(RegistrationError::Unknown)?;
        session.check_open(now_unix_ms)?;
        if transport == Transport::Voice && !self.policy.voice {
            return Err(RegistrationError::NoVoice);
        }
        session.check_due(transport, now_unix_ms)?;
        let (phone, asker) = (Phone::parse(&format!("+{}", session.phone))?, Asker::of(network));
        let mut wanted = self.budgets(phone, &asker);
        if session.host.is_some() {
            // For the limits, a joined registration begins only with its own first code.
            wanted.insert(0, (self.policy.per_number_and_network(), asker.with(phone)));
        }
        self.take(&wanted, now_unix_ms)?;
        let code = self.make_code(phone, rng);
        session.note_sent(transport, self.hash(id, &code), now_unix_ms);
        self.write(id, &session, Some(revision))?;
        let former = self.note_latest(phone, id, now_unix_ms)?;
        self.metrics.codes_again_total.inc();
        Ok(self.begun((id.to_owned(), asker, former), phone, &session, code, transport, now_unix_ms))
    }

    fn begun(
        &self,
        (id, asker, former): (String, Asker, Option<String>),
        phone: Phone,
        session: &Session,
        code: Code,
        transport: Transport,
        now_unix_ms: u64,
    ) -> Begun {
        let standing = session.standing(self.policy.voice, now_unix_ms);
        let delivery = Some(Delivery { phone, code, transport, locale: session.locale.clone() });
        Begun { id, standing, delivery, asker, former }
    }

    /// What one message takes from which limiter. Messages to numbers reserved for fiction cost nothing, so only network and
    /// number are counted.
    fn budgets(&self, phone: Phone, asker: &Asker) -> Vec<(Limiter, String)> {
        let mut wanted = vec![
            (self.policy.per_network(), asker.near.clone()),
            (self.policy.per_wide_network(), asker.wide.clone()),
            (self.policy.per_number(), phone.to_string()),
        ];
        if !phone.is_fictitious() {
            let block = phone.block();
            wanted.extend([
                (self.policy.per_block_and_network(), asker.with_block(phone)),
                (self.policy.per_block(), block.to_string()),
                (self.policy.per_country(phone.country()), phone.country().to_string()),
                (self.policy.for_gateway(phone.country()), String::new()),
            ]);
        }
        wanted
    }

    pub(super) fn take(
        &self,
        wanted: &[(Limiter, String)],
        now_unix_ms: u64,
    ) -> Result<(), RegistrationError> {
        let wanted: Vec<_> = wanted.iter().map(|(limiter, subject)| (*limiter, subject.as_str())).collect();
        let taken = self.limits().take_all(&wanted, now_unix_ms);
        if let Err(LimitError::Reached { limiter, .. }) = &taken {
            self.metrics.limited_total.inc();
            tracing::info!(limiter, "a registration was refused by a limit");
        }
        Ok(taken?)
    }

    fn make_code(&self, phone: Phone, rng: &mut (impl CryptoRng + ?Sized)) -> Code {
        match &self.policy.test_numbers {
            TestNumbers::Fixed(code) if phone.is_fictitious() => code.clone(),
            _ => Code::make(rng),
        }
    }

    /// The id of a number's registration in one network, for clients that know no ids. No id from [`make_id`] looks like this.
    pub(super) fn number_id(&self, phone: Phone, network: Option<IpAddr>) -> String {
        record_key(&self.secrets.root, &format!("number:{phone}"), &network_subject(network))
    }
}

impl Begun {
    /// Tells the client to ask for the next SMS when the limiter that has refused this one allows it.
    fn with_next_sms(mut self, refused: &RegistrationError) -> Self {
        if let RegistrationError::TooMany { retry_after_ms, .. } = refused {
            self.standing.next_sms_in_ms = Some(*retry_after_ms);
        }
        self
    }
}

/// The networks of a request, as limits count them. Never written to the store or a log.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) near: String,
    pub(super) wide: String,
}

impl Asker {
    pub(super) fn of(network: Option<IpAddr>) -> Self {
        Self { near: network_subject(network), wide: wide_network_subject(network) }
    }

    /// The wide network together with the block of numbers that is asked for.
    fn with_block(&self, phone: Phone) -> String {
        format!("{} {}", phone.block(), self.wide)
    }

    /// The near network together with the number that is asked for.
    fn with(&self, phone: Phone) -> String {
        format!("{phone} {}", self.near)
    }
}

pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}
