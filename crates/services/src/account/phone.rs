//! Phone numbers: from what a person or a program wrote to an E.164 number to which a code may be sent.
//!
//! Owns: what is a phone number (by libphonenumber's metadata, built in: no network, about a microsecond each after the first),
//! which numbers are reserved for fiction and so for tests, and which kinds never get an SMS because calling them is how fraud is
//! paid for. Called by [`registration`](crate::rooms::accounts::registration) and contact sync. Specification: ITU-T E.164; for
//! fiction the numbering plans of the countries named in [`fiction`].

use chaski_store::AccountId;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType};
use std::collections::BTreeSet;
use std::fmt;

mod fiction;
mod spelling;

pub use spelling::Home;

/// Longest text that is looked at: 15 digits with separators.
const TEXT_BYTES_MAX: usize = 40;

/// A number that exists in its country's numbering plan, or one that is reserved for fiction.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Phone {
    number: u64,
    country: u16,
    fictitious: bool,
    textable: bool,
}

/// Why a text is no number that can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Not in international form.
    #[error("write the number in international form: '+', country code, number, such as +4915123456789")]
    NotInternational,
    /// No such number in the numbering plan.
    #[error("there is no such phone number; check its digits and the country code")]
    NoSuchNumber,
}

impl Phone {
    /// Reads a number in international form; spaces and the usual separators are allowed.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        let text = text.trim();
        let separators = |b: &u8| matches!(b, b' ' | b'-' | b'.' | b'(' | b')' | b'/');
        let plain = text.len() <= TEXT_BYTES_MAX && text.starts_with('+');
        if !plain || !text.bytes().skip(1).all(|b| b.is_ascii_digit() || separators(&b)) {
            return Err(PhoneError::NotInternational);
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if digits.starts_with('0') || digits.is_empty() {
            return Err(PhoneError::NotInternational);
        }
        match fiction::country(&digits) {
            Some(country) => Self::fictitious(&digits, country),
            None => Self::real(&digits),
        }
    }

    fn fictitious(digits: &str, country: u16) -> Result<Self, PhoneError> {
        let number = digits.parse().map_err(|_| PhoneError::NoSuchNumber)?;
        Ok(Self { number, country, fictitious: true, textable: true })
    }

    fn real(digits: &str) -> Result<Self, PhoneError> {
        let parsed =
            PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).map_err(|_| PhoneError::NoSuchNumber)?;
        if !parsed.is_valid() {
            return Err(PhoneError::NoSuchNumber);
        }
        // E.164 is the one normal form: a national prefix written after the country code has been dropped.
        let e164 = parsed.format_as(PhoneNumberFormat::E164);
        let number: u64 =
            e164.strip_prefix('+').and_then(|d| d.parse().ok()).ok_or(PhoneError::NoSuchNumber)?;
        AccountId::phone(number).ok_or(PhoneError::NoSuchNumber)?;
        let country = u16::try_from(parsed.country_code).map_err(|_| PhoneError::NoSuchNumber)?;
        Ok(Self { number, country, fictitious: false, textable: is_textable(parsed.get_type()) })
    }

    /// The digits, without `+`.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The account of this number.
    pub fn account(self) -> AccountId {
        AccountId::from_bits(self.number)
    }

    /// The country calling code.
    pub fn country(self) -> u16 {
        self.country
    }

    /// Whether the number is reserved for fiction, so that nobody has it: its code is logged and never sent.
    pub fn is_fictitious(self) -> bool {
        self.fictitious
    }

    /// Whether the number is of a kind that gets an SMS: people have it in their pocket or on their desk. No premium rate, no
    /// toll-free or shared-cost number, no pager or voice mail.
    pub fn is_textable(self) -> bool {
        self.textable
    }

    /// The block of 10,000 numbers that the number is in. Fraudsters who earn by receiving SMS own whole blocks.
    pub fn block(self) -> u64 {
        self.number / 10_000
    }
}

/// E.164: `+` and digits.
impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.number)
    }
}

/// For logs: never the whole number.
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.account().fmt(f)
    }
}

fn is_textable(kind: PhoneNumberType) -> bool {
    matches!(
        kind,
        PhoneNumberType::Mobile
            | PhoneNumberType::FixedLineOrMobile
            | PhoneNumberType::FixedLine
            | PhoneNumberType::VoIP
            | PhoneNumberType::PersonalNumber
    )
}

/// The countries served, by calling code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Countries {
    /// Every one.
    #[default]
    All,
    /// These only.
    Only(BTreeSet<u16>),
}

impl Countries {
    /// Reads a list of calling codes such as `49`, `+1`. Empty means all.
    pub fn from_codes<S: AsRef<str>>(codes: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut set = BTreeSet::new();
        for code in codes {
            let code = code.as_ref();
            let number = code.trim_start_matches('+').parse::<u16>().ok().filter(|n| (1..1000).contains(n));
            set.insert(number.ok_or_else(|| format!("'{code}' is no country calling code such as \"49\""))?);
        }
        Ok(if set.is_empty() { Self::All } else { Self::Only(set) })
    }

    /// Whether numbers of this country may register.
    pub fn serves(&self, country: u16) -> bool {
        match self {
            Self::All => true,
            Self::Only(codes) => codes.contains(&country),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_many_spellings() {
        for text in ["+4915123456789", " +49 151 23456789 ", "+49 (151) 234-567.89", "+49 0151 23456789"] {
            let phone = Phone::parse(text).expect(text);
            assert_eq!(phone.to_string(), "+4915123456789", "{text}");
            assert_eq!(phone.country(), 49);
            assert!(phone.is_textable() && !phone.is_fictitious());
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            "+",
            "4915123456789",
            "015123456789",
            "+abc",
            "+4915123456789;ext=5",
            "+٤٩١٥١٢٣٤٥٦٧٨٩",
            "+0049151",
        ] {
            assert_eq!(Phone::parse(text), Err(PhoneError::NotInternational), "{text}");
        }
        for text in ["+1", "+49", "+999123456789", "+491512345678901234", "+12125550", "+11234567890"] {
            assert_eq!(Phone::parse(text), Err(PhoneError::NoSuchNumber), "{text}");
        }
        assert_eq!(Phone::parse(&format!("+{}", "1".repeat(100))), Err(PhoneError::NotInternational));
    }

    #[test]
    fn fiction_is_known() {
        for text in
            ["+12025550123", "+15551230001", "+447700900123", "+442079460000", "+61491570006", "+33639980001"]
        {
            let phone = Phone::parse(text).expect(text);
            assert!(phone.is_fictitious(), "{text}");
            assert_eq!(phone.to_string(), text);
        }
        for text in ["+12025550200", "+12124567890", "+447700100123", "+61412345678"] {
            assert!(!Phone::parse(text).is_ok_and(Phone::is_fictitious), "{text}");
        }
    }

    #[test]
    fn premium_numbers_get_no_sms() {
        assert!(!Phone::parse("+19002345678").expect("a premium number").is_textable());
        assert!(!Phone::parse("+18002345678").expect("a toll-free number").is_textable());
        assert!(Phone::parse("+12124567890").expect("an ordinary number").is_textable());
    }

    #[test]
    fn countries_by_calling_code() {
        let only = Countries::from_codes(["49", "+1"]).unwrap();
        assert!(only.serves(49) && only.serves(1) && !only.serves(44));
        assert!(Countries::from_codes(Vec::<String>::new()).unwrap().serves(44));
        assert!(Countries::from_codes(["DE"]).is_err());
        assert!(Countries::from_codes(["4915123"]).is_err());
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(format!("{:?}", Phone::parse("+12025550123").unwrap()), "+12…23");
    }
}
