//! Session tickets of a server (RFC 8446 §4.6.1): keys that outlast the process, and grow old.
//!
//! Called by rustls through [`ProducesTickets`]; made by whoever makes a server's settings. A ticket is all that there is of a
//! session that can be resumed: nothing is kept for it, so it must be ours, untouched and young. Its key follows from a secret
//! that several processes may share, from what the ticket is for, from the number of the period in which it was made and from
//! chance; so whoever has the secret can open tickets of an earlier process and of its neighbours, and there is no key to be
//! made, handed on or forgotten in time.
//!
//! ```text
//! period  4 bytes   the time divided by the lifetime
//! salt   24 bytes   random
//! sealed            the time in seconds, 8 bytes; rustls' session; the AEAD's tag, 16 bytes
//! ```
//!
//! # Promises
//! - A ticket is refused when it is older than the lifetime, and when its period is neither this one nor the one before.
//! - It is refused if a bit of it is another one, under another secret, and for another purpose.
//! - The time at which it was made can't be read from it: two connections of a phone are not joined by it (RFC 8446 §C.4).
//! - Whoever finds the secret later can open tickets, but not what was said in TLS 1.3: a resumed session has a key exchange of
//!   its own (`psk_dhe_ke`), which is the only way that rustls knows. In TLS 1.2 a ticket holds the keys of what was said; so those
//!   tickets have keys of this process alone, which rustls makes and forgets.
//! - There is no early data (RFC 8446 §8): who repeats a recorded ticket gets a handshake that he can't finish.

use ring::rand::{SecureRandom, SystemRandom};
use ring::{aead, hmac};
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::Arc;

const PERIOD_BYTES: usize = 4;
const SALT_BYTES: usize = 24;
const TIME_BYTES: usize = 8;
const TLS13: [u8; 2] = [3, 4];

/// The longest lifetime that there may be (RFC 8446 §4.6.1): a week.
pub const LIFETIME_S_MAX: u32 = 7 * 86_400;

/// The time in seconds, the same for all who share the secret.
pub type Seconds = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where a server's tickets come from. Cheap to clone.
#[derive(Clone)]
pub struct Tickets {
    secret: hmac::Key,
    lifetime_s: u32,
    now_s: Seconds,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("lifetime_s", &self.lifetime_s).finish_non_exhaustive()
    }
}

impl Tickets {
    /// Tickets under a secret, good for so long: from a second to [`LIFETIME_S_MAX`].
    pub fn new(secret: &[u8], lifetime_s: u32, now_s: Seconds) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self {
            secret: derived(&secret, &[b"tls tickets"]),
            lifetime_s: lifetime_s.clamp(1, LIFETIME_S_MAX),
            now_s,
        }
    }

    /// For one purpose: tickets of another are refused. What a client was told about the server when it got a ticket has to be
    /// part of it (the certificate, above all: a client that resumes does not look at it again).
    pub fn producer(&self, purpose: &[&[u8]]) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let of_process = rustls::crypto::ring::Ticketer::new()?;
        let secret = derived(&self.secret, purpose);
        Ok(Arc::new(Producer { tickets: Self { secret, ..self.clone() }, of_process }))
    }

    fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        let now_s = (self.now_s)();
        let mut ticket = Vec::with_capacity(PERIOD_BYTES + SALT_BYTES + TIME_BYTES + session.len() + 16);
        ticket.extend_from_slice(&self.period(now_s).to_be_bytes());
        ticket.resize(PERIOD_BYTES + SALT_BYTES, 0);
        SystemRandom::new().fill(&mut ticket[PERIOD_BYTES..]).ok()?;
        let key = self.key(&ticket);
        let mut sealed = now_s.to_be_bytes().to_vec();
        sealed.extend_from_slice(session);
        key.seal_in_place_append_tag(only_nonce(), aead::Aad::empty(), &mut sealed).ok()?;
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now_s = (self.now_s)();
        let (head, sealed) = ticket.split_at_checked(PERIOD_BYTES + SALT_BYTES)?;
        let period = u32::from_be_bytes(*head.first_chunk()?);
        let this = self.period(now_s);
        if period != this && period != this.wrapping_sub(1) {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let opened = self.key(head).open_in_place(only_nonce(), aead::Aad::empty(), &mut sealed).ok()?;
        let (made_s, session) = opened.split_first_chunk::<TIME_BYTES>()?;
        let age_s = now_s.saturating_sub(u64::from_be_bytes(*made_s));
        (age_s <= u64::from(self.lifetime_s)).then(|| session.to_vec())
    }

    /// The number of the period; it begins anew after thousands of years at the least.
    fn period(&self, now_s: u64) -> u32 {
        (now_s / u64::from(self.lifetime_s)) as u32
    }

    /// The key of one ticket, by its period and salt.
    fn key(&self, head: &[u8]) -> aead::LessSafeKey {
        let key = hmac::sign(&self.secret, head);
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref());
        aead::LessSafeKey::new(key.expect("a hash is as long as the key"))
    }
}

/// A key is for one ticket and one nonce.
fn only_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

/// A secret that follows from another and what it is for; no two lists of purposes are one.
fn derived(secret: &hmac::Key, purpose: &[&[u8]]) -> hmac::Key {
    let mut context = hmac::Context::with_key(secret);
    for part in purpose {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())
}

#[derive(Debug)]
struct Producer {
    tickets: Tickets,
    /// For all that is not TLS 1.3.
    of_process: Arc<dyn ProducesTickets>,
}

impl ProducesTickets for Producer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime_s
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        match is_tls13(session) {
            true => self.tickets.seal(session),
            false => self.of_process.encrypt(session),
        }
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.tickets.open(ticket).or_else(|| self.of_process.decrypt(ticket))
    }
}

/// Whether rustls' session is one of TLS 1.3: its version stands behind the server's name, if there is one. Should that change,
/// no session is taken for one, and tickets end with the process.
fn is_tls13(session: &[u8]) -> bool {
    let version = match session {
        [0, rest @ ..] => Some(rest),
        [1, length, rest @ ..] => rest.get(usize::from(*length)..),
        _ => None,
    };
    version.is_some_and(|version| version.starts_with(&TLS13))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SESSION: &[u8] = b"\x01\x04chat\x03\x04 and the rest";
    const HOUR_S: u32 = 3_600;

    /// Tickets whose clock can be set.
    fn tickets(secret: &[u8], now: &Arc<AtomicU64>) -> Tickets {
        let now = now.clone();
        Tickets::new(secret, HOUR_S, Arc::new(move || now.load(Ordering::Relaxed)))
    }

    fn clock() -> Arc<AtomicU64> {
        Arc::new(AtomicU64::new(1_000_000 * u64::from(HOUR_S)))
    }

    #[test]
    fn a_ticket_outlasts_the_process_and_not_its_lifetime() {
        let now = clock();
        for made_after_s in [0, 1_800, 3_599] {
            let begin = clock().load(Ordering::Relaxed) + made_after_s;
            now.store(begin, Ordering::Relaxed);
            let ticket = tickets(b"secret", &now).producer(&[b"x"]).unwrap().encrypt(SESSION).unwrap();
            let again = tickets(b"secret", &now).producer(&[b"x"]).unwrap();
            let opened_after = |age_s: u64| {
                now.store(begin + age_s, Ordering::Relaxed);
                again.decrypt(&ticket)
            };
            assert_eq!(opened_after(0).as_deref(), Some(SESSION));
            assert_eq!(
                opened_after(3_600).as_deref(),
                Some(SESSION),
                "of the key before, made after {made_after_s}"
            );
            assert_eq!(opened_after(3_601), None, "made after {made_after_s}");
            assert_eq!(opened_after(7_200), None);
            assert_eq!(opened_after(1 << 40), None);
        }
    }

    #[test]
    fn a_key_is_not_accepted_after_the_next_one() {
        let now = clock();
        let of_old = tickets(b"secret", &now);
        // Somebody who has the secret, and writes into it any time he likes.
        let forged = Tickets { now_s: Arc::new(|| u64::from(HOUR_S) * 1_000_010), ..of_old.clone() };
        let mut ticket = forged.seal(SESSION).unwrap();
        ticket[..PERIOD_BYTES].copy_from_slice(&1_000_000_u32.to_be_bytes());
        assert!(of_old.open(&ticket).is_none(), "a period can't be put on a ticket of another");
        let ticket = forged.seal(SESSION).unwrap();
        assert!(of_old.open(&ticket).is_none(), "its period has not come");
        now.fetch_add(10 * u64::from(HOUR_S), Ordering::Relaxed);
        assert!(of_old.open(&ticket).is_some());
        now.fetch_add(2 * u64::from(HOUR_S), Ordering::Relaxed);
        assert!(of_old.open(&ticket).is_none());
    }

    #[test]
    fn nothing_but_the_ticket_itself_is_opened() {
        let now = clock();
        let ours = tickets(b"secret", &now).producer(&[b"a", b"b"]).unwrap();
        let ticket = ours.encrypt(SESSION).unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut other = ticket.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ours.decrypt(&other), None, "bit {bit}");
        }
        for len in 0..ticket.len() {
            assert_eq!(ours.decrypt(&ticket[..len]), None, "{len} bytes");
        }
        for (secret, purpose) in [
            (&b"another"[..], &[&b"a"[..], b"b"][..]),
            (b"secret", &[b"a"]),
            (b"secret", &[b"ab"]),
            (b"secret", &[]),
        ] {
            let theirs = tickets(secret, &now).producer(purpose).unwrap();
            assert_eq!(theirs.decrypt(&ticket), None, "{purpose:?}");
        }
        assert_eq!(ours.decrypt(&ticket).as_deref(), Some(SESSION));
        assert_ne!(ours.encrypt(SESSION).unwrap(), ticket, "no two are the same");
    }

    #[test]
    fn what_is_not_of_tls13_ends_with_the_process() {
        let now = clock();
        for session in [
            &b"\x00\x03\x03 of TLS 1.2"[..],
            b"\x01\x04chat\x03\x03",
            b"\x02\x03\x04",
            b"\x01\xff\x03\x04",
            b"",
        ] {
            let ours = tickets(b"secret", &now).producer(&[]).unwrap();
            let ticket = ours.encrypt(session).unwrap();
            assert_eq!(ours.decrypt(&ticket).as_deref(), Some(session));
            assert_eq!(tickets(b"secret", &now).producer(&[]).unwrap().decrypt(&ticket), None);
        }
        assert!(is_tls13(b"\x00\x03\x04"));
    }
}
