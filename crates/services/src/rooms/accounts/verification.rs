//! Codes and registration locks: made, hashed, compared.
//!
//! A code is six decimal digits from a cryptographic generator. What is stored is an HMAC under the data
//! directory's secret over registration and code: a million codes are tried in a second, so an unkeyed hash would
//! hide nothing. Comparisons take constant time. A lock's PIN is stored through PBKDF2 under the same secret.

use crate::account::record::RegistrationLock;
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Digits of a code.
pub const CODE_DIGITS: usize = 6;
const CODES: u32 = 1_000_000;
/// PBKDF2 iterations for a lock's PIN: some 50 ms.
const LOCK_ITERATIONS: u32 = 100_000;
/// A lock's PIN is this many digits.
pub const LOCK_DIGITS: std::ops::RangeInclusive<usize> = 4..=20;

/// A code in clear: lives from its making until the gateway has it. Does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// A new code, every one equally likely.
    pub fn make(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        // Values of the incomplete last round would make small codes likelier.
        let fair = u32::MAX - u32::MAX % CODES;
        loop {
            let value = rng.next_u32();
            if value < fair {
                return Self(format!("{:06}", value % CODES));
            }
        }
    }

    /// A code that an operator has fixed for numbers reserved for fiction.
    pub fn fixed(digits: &str) -> Option<Self> {
        normalise_code(digits).map(Self)
    }

    /// The six digits.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Longest text that is parsed as a code.
const TYPED_BYTES_MAX: usize = 96;

/// The code that a person has typed or pasted: six digits of any script, returned in ASCII. Characters between and around them
/// (white space of all kinds, line breaks, hyphens and dashes, marks of direction) are ignored.
pub fn normalise_code(typed: &str) -> Option<String> {
    let digits = ascii_digits(typed)?;
    (digits.len() == CODE_DIGITS).then_some(digits)
}

/// The digits of a text, if it contains nothing else that matters.
fn ascii_digits(typed: &str) -> Option<String> {
    if typed.len() > TYPED_BYTES_MAX {
        return None;
    }
    typed.chars().filter(|c| !is_separator(*c)).map(digit).collect()
}

fn is_separator(c: char) -> bool {
    let is_dash =
        matches!(c, '-' | '\u{AD}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE63}' | '\u{FF0D}');
    let is_invisible = matches!(
        c,
        '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
    );
    c.is_whitespace() || is_dash || is_invisible
}

/// A decimal digit in ASCII. In Unicode each script has its ten digits in a row.
fn digit(c: char) -> Option<char> {
    let zero = DIGIT_ZEROS[..DIGIT_ZEROS.partition_point(|zero| *zero <= c)].last()?;
    char::from_digit(u32::from(c) - u32::from(*zero), 10)
}

/// The digit zero of each script whose decimal digits (general category Nd) people type, in order.
const DIGIT_ZEROS: &[char] = &[
    '0',
    '\u{660}',
    '\u{6F0}',
    '\u{7C0}',
    '\u{966}',
    '\u{9E6}',
    '\u{A66}',
    '\u{AE6}',
    '\u{B66}',
    '\u{BE6}',
    '\u{C66}',
    '\u{CE6}',
    '\u{D66}',
    '\u{DE6}',
    '\u{E50}',
    '\u{ED0}',
    '\u{F20}',
    '\u{1040}',
    '\u{1090}',
    '\u{17E0}',
    '\u{1810}',
    '\u{1946}',
    '\u{19D0}',
    '\u{1A80}',
    '\u{1A90}',
    '\u{1B50}',
    '\u{1BB0}',
    '\u{1C40}',
    '\u{1C50}',
    '\u{A620}',
    '\u{A8D0}',
    '\u{A900}',
    '\u{A9D0}',
    '\u{A9F0}',
    '\u{AA50}',
    '\u{ABF0}',
    '\u{FF10}',
    '\u{104A0}',
    '\u{10D30}',
    '\u{11066}',
    '\u{110F0}',
    '\u{11136}',
    '\u{1D7CE}',
    '\u{1D7D8}',
    '\u{1D7E2}',
    '\u{1D7EC}',
    '\u{1D7F6}',
    '\u{1E950}',
];

/// A registration's id: 128 bits as base64url.
pub fn make_id(rng: &mut (impl CryptoRng + ?Sized)) -> String {
    let mut bytes = [0u8; 16];
    rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a code: its keyed hash.
pub fn hash_code(secret: &[u8; 16], registration: &str, code: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(b"code\0");
    mac.update(registration.as_bytes());
    mac.update(b"\0");
    mac.update(code.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Whether two stored hashes are equal, in constant time.
pub fn same_hash(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

impl RegistrationLock {
    /// Whether this can be a lock's PIN: 4 to 20 digits, typed as a code may be.
    pub fn is_acceptable(pin: &str) -> bool {
        ascii_digits(pin).is_some_and(|digits| LOCK_DIGITS.contains(&digits.len()))
    }

    /// A lock with this PIN. Slow on purpose.
    pub fn make(secret: &[u8; 16], pin: &str, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut salt = [0u8; 16];
        rng.fill_bytes(&mut salt);
        let hash = lock_hash(secret, pin, &salt, LOCK_ITERATIONS);
        Self { salt: STANDARD.encode(salt), hash: STANDARD.encode(hash), iterations: LOCK_ITERATIONS }
    }

    /// Whether this is the lock's PIN. Slow on purpose. A damaged record is opened by no PIN.
    pub fn opens(&self, secret: &[u8; 16], pin: &str) -> bool {
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(&self.salt), STANDARD.decode(&self.hash)) else {
            return false;
        };
        let iterations = self.iterations.clamp(1, 10 * LOCK_ITERATIONS);
        hash.len() == 32 && bool::from(lock_hash(secret, pin, &salt, iterations).ct_eq(&hash[..]))
    }
}

fn lock_hash(secret: &[u8; 16], pin: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let digits = ascii_digits(pin);
    let pin = digits.as_deref().unwrap_or(pin);
    let mut salted = Vec::with_capacity(secret.len() + salt.len());
    salted.extend_from_slice(secret);
    salted.extend_from_slice(salt);
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(pin.as_bytes(), &salted, iterations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn rng() -> rand::rngs::StdRng {
        rand::rngs::StdRng::seed_from_u64(42)
    }

    #[test]
    fn codes_are_six_digits_over_the_whole_range() {
        let mut rng = rng();
        let codes: Vec<Code> = (0..2000).map(|_| Code::make(&mut rng)).collect();
        assert!(
            codes.iter().all(|c| c.digits().len() == 6 && c.digits().bytes().all(|b| b.is_ascii_digit()))
        );
        for digit in b'0'..=b'9' {
            let first = codes.iter().filter(|c| c.digits().as_bytes()[0] == digit).count();
            assert!((120..280).contains(&first), "{first} of 2000 begin with {}", digit as char);
        }
        assert_eq!(format!("{:?}", codes[0]), "Code(…)");
    }

    #[test]
    fn typed_codes() {
        assert_eq!(normalise_code("123 456").as_deref(), Some("123456"));
        for code in [
            "123-456",
            "123456\n",
            "123\r\n456",
            "\t123\u{a0}456",
            "123\u{202f}456",
            "123\u{2011}456",
            "\u{200e}123456\u{200e}",
            "\u{feff}123456",
            "１２３４５６",
            "１２３－４５６",
            "١٢٣٤٥٦",
            "۱۲۳۴۵۶",
            "१२३४५६",
            "๑๒๓๔๕๖",
            "𝟏𝟐𝟑𝟒𝟓𝟔",
        ] {
            assert_eq!(normalise_code(code).as_deref(), Some("123456"), "{code:?}");
        }
        for bad in
            ["", "12345", "1234567", "12345a", "12345/", "12345:", "12345²", "一二三四五六", &" ".repeat(200)]
        {
            assert_eq!(normalise_code(bad), None, "{bad}");
        }
    }

    #[test]
    fn hashes_depend_on_secret_registration_and_code() {
        let hash = hash_code(&[1; 16], "a", "123456");
        assert!(same_hash(&hash, &hash_code(&[1; 16], "a", "123456")));
        assert!(!same_hash(&hash, &hash_code(&[2; 16], "a", "123456")));
        assert!(!same_hash(&hash, &hash_code(&[1; 16], "b", "123456")));
        assert!(!same_hash(&hash, &hash_code(&[1; 16], "a", "123457")));
        assert!(!hash.contains("123456"));
    }

    #[test]
    fn locks_open_to_their_pin_only() {
        let lock = RegistrationLock::make(&[1; 16], "4711", &mut rng());
        assert!(lock.opens(&[1; 16], "4711"));
        assert!(lock.opens(&[1; 16], "٤٧ ١١\n"), "on another keyboard");
        assert!(!lock.opens(&[1; 16], "4712"));
        assert!(!lock.opens(&[2; 16], "4711"));
        let damaged = RegistrationLock { hash: "AAAA".into(), ..lock };
        assert!(!damaged.opens(&[1; 16], "4711"));
        assert!(RegistrationLock::is_acceptable("4711"));
        assert!(RegistrationLock::is_acceptable("４７１１"));
        for bad in ["", "471", "47a1", "4 7-1", &"1".repeat(21)] {
            assert!(!RegistrationLock::is_acceptable(bad), "{bad}");
        }
    }
}
