//! The state of one registration: its codes, its guesses, and when the next code is due. A value, which the caller stores.

use super::{RegistrationError, Transport};
use crate::account::phone::Phone;
use crate::rooms::accounts::verification::same_hash;
use serde::{Deserialize, Serialize};

const MINUTE_MS: u64 = 60_000;
/// A code is right for this long.
pub(super) const CODE_MS: u64 = 10 * MINUTE_MS;
/// A registration expires after this time in any case: long enough for the last code of the schedule.
pub(super) const SESSION_MS: u64 = 30 * MINUTE_MS;
/// Guesses at all codes of a registration together.
pub(super) const GUESSES: u32 = 5;
/// Guesses of a registration that has joined another, and of all registrations together that have joined the same one
/// ([`super::joined`]).
const JOINED_GUESSES: u32 = 2;
const ALL_JOINED_GUESSES: u32 = 4;
/// The waits after the first, second, … code of one transport; after the last wait no more codes are sent.
const WAITS_MS: [u64; 4] = [MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS];
/// The wait for the first call after the first SMS.
const VOICE_AFTER_SMS_MS: u64 = MINUTE_MS;
/// So many of the latest codes are right: an SMS that arrives after the client has asked for another one still helps.
const CODES_KEPT: usize = 2;

/// The document in `REGISTRATIONS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) phone: u64,
    pub(super) created_unix_ms: u64,
    sms: Schedule,
    voice: Schedule,
    codes: Vec<StoredCode>,
    guesses_left: u32,
    #[serde(default)]
    used: bool,
    /// The registration whose codes it shares; it has no codes of its own then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    /// Guesses left for the registrations that share its codes.
    #[serde(default = "all_joined_guesses")]
    joined_guesses_left: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) locale: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
}

fn all_joined_guesses() -> u32 {
    ALL_JOINED_GUESSES
}

/// How often a transport has been used and when it may be used again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Schedule {
    sent: u32,
    due_unix_ms: u64,
}

impl Schedule {
    fn is_exhausted(&self) -> bool {
        self.sent as usize > WAITS_MS.len()
    }

    fn note_sent(&mut self, now_unix_ms: u64) {
        let wait = WAITS_MS.get(self.sent as usize).copied().unwrap_or(0);
        self.sent += 1;
        self.due_unix_ms = now_unix_ms + wait;
    }

    fn due_in_ms(&self, now_unix_ms: u64) -> Option<u64> {
        (!self.is_exhausted()).then(|| self.due_unix_ms.saturating_sub(now_unix_ms))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredCode {
    hash: String,
    expires_unix_ms: u64,
}

/// What the client may do, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// For how long the latest code is right.
    pub expires_in_ms: u64,
    /// After how long another SMS may be asked for; `None`: never.
    pub next_sms_in_ms: Option<u64>,
    /// After how long a call may be asked for; `None`: never.
    pub next_voice_in_ms: Option<u64>,
}

/// The result of a guess. The caller stores the session before it tells the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    Right,
    Wrong,
}

impl Session {
    pub(super) fn new(phone: Phone, now_unix_ms: u64) -> Self {
        Self {
            phone: phone.number(),
            created_unix_ms: now_unix_ms,
            sms: Schedule::default(),
            voice: Schedule { sent: 0, due_unix_ms: now_unix_ms + VOICE_AFTER_SMS_MS },
            codes: Vec::new(),
            guesses_left: GUESSES,
            used: false,
            host: None,
            joined_guesses_left: ALL_JOINED_GUESSES,
            locale: None,
            client: None,
        }
    }

    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a session holds only strings and numbers")
    }

    /// Whether the registration has expired. One from the future (a clock was set back) counts as expired.
    pub(super) fn is_over(&self, now_unix_ms: u64) -> bool {
        now_unix_ms >= self.created_unix_ms + SESSION_MS || self.created_unix_ms > now_unix_ms + SESSION_MS
    }

    pub(super) fn is_open(&self, now_unix_ms: u64) -> bool {
        self.check_open(now_unix_ms).is_ok()
    }

    pub(super) fn check_open(&self, now_unix_ms: u64) -> Result<(), RegistrationError> {
        if self.is_over(now_unix_ms) {
            return Err(RegistrationError::Unknown);
        }
        if self.used {
            return Err(RegistrationError::Used);
        }
        if self.guesses_left == 0 { Err(RegistrationError::Dead) } else { Ok(()) }
    }

    pub(super) fn check_due(&self, transport: Transport, now_unix_ms: u64) -> Result<(), RegistrationError> {
        match self.schedule(transport).due_in_ms(now_unix_ms) {
            None => Err(RegistrationError::NoMoreCodes),
            Some(0) => Ok(()),
            Some(retry_after_ms) => Err(RegistrationError::TooSoon { retry_after_ms }),
        }
    }

    /// Shares the codes of the registration `host` from now on, until a code of its own is sent.
    pub(super) fn join(&mut self, host: String) {
        self.host = Some(host);
        self.guesses_left = JOINED_GUESSES;
    }

    /// A guess of a registration that shares its codes: it is not charged to this registration's own guesses.
    pub(super) fn joined_guess(&self, hash: &str, now_unix_ms: u64) -> Guess {
        let is_open = !self.is_over(now_unix_ms) && !self.used && self.joined_guesses_left > 0;
        match self.compare(hash, now_unix_ms) {
            Ok(guess) if is_open => guess,
            _ => Guess::Wrong,
        }
    }

    /// Charges a guess to the registrations that share its codes.
    pub(super) fn spend_joined_guess(&mut self) {
        self.joined_guesses_left = self.joined_guesses_left.saturating_sub(1);
    }

    pub(super) fn note_sent(&mut self, transport: Transport, hash: String, now_unix_ms: u64) {
        if self.host.take().is_some() {
            self.guesses_left = GUESSES;
        }
        self.schedule_mut(transport).note_sent(now_unix_ms);
        self.codes.push(StoredCode { hash, expires_unix_ms: now_unix_ms + CODE_MS });
        let surplus = self.codes.len().saturating_sub(CODES_KEPT);
        self.codes.drain(..surplus);
    }

    /// Whether only the first code has been sent, or was tried to be sent.
    pub(super) fn has_sent_once(&self) -> bool {
        self.sms.sent + self.voice.sent == 1
    }

    /// The latest code was not delivered: another one may follow at once.
    pub(super) fn take_back(&mut self, transport: Transport) {
        self.codes.pop();
        let schedule = self.schedule_mut(transport);
        schedule.sent = schedule.sent.saturating_sub(1);
        schedule.due_unix_ms = 0;
    }

    pub(super) fn standing(&self, voice: bool, now_unix_ms: u64) -> Standing {
        let expires = self.codes.last().map_or(0, |code| code.expires_unix_ms);
        let next_voice_in_ms = if voice { self.voice.due_in_ms(now_unix_ms) } else { None };
        Standing {
            expires_in_ms: expires.min(self.created_unix_ms + SESSION_MS).saturating_sub(now_unix_ms),
            next_sms_in_ms: self.sms.due_in_ms(now_unix_ms),
            next_voice_in_ms,
        }
    }

    /// Compares a guess with all codes that are still right, in constant time.
    pub(super) fn guess(&self, hash: &str, now_unix_ms: u64) -> Result<Guess, RegistrationError> {
        self.check_open(now_unix_ms)?;
        self.compare(hash, now_unix_ms)
    }

    fn compare(&self, hash: &str, now_unix_ms: u64) -> Result<Guess, RegistrationError> {
        let (mut live, mut right) = (false, false);
        for code in &self.codes {
            let is_live = now_unix_ms < code.expires_unix_ms;
            let is_same = same_hash(&code.hash, hash);
            live |= is_live;
            right |= is_live & is_same;
        }
        match (live, right) {
            (false, _) => Err(RegistrationError::CodeExpired),
            (true, true) => Ok(Guess::Right),
            (true, false) => Ok(Guess::Wrong),
        }
    }

    /// Charges one guess; returns how many are left.
    pub(super) fn spend_guess(&mut self) -> u32 {
        self.guesses_left = self.guesses_left.saturating_sub(1);
        self.guesses_left
    }

    pub(super) fn set_used(&mut self, used: bool) {
        self.used = used;
    }

    fn schedule(&self, transport: Transport) -> &Schedule {
        match transport {
            Transport::Sms => &self.sms,
            Transport::Voice => &self.voice,
        }
    }

    fn schedule_mut(&mut self, transport: Transport) -> &mut Schedule {
        match transport {
            Transport::Sms => &mut self.sms,
            Transport::Voice => &mut self.voice,
        }
    }
}
