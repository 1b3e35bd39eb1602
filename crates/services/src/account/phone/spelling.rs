//! Numbers as people write them into a phone book: national or international, with spaces, brackets, trunk zeros, extensions,
//! digits of any script. They are brought to E.164; a number without a country code belongs to the country of the phone book's
//! owner.
//!
//! Called by contact sync ([`crate::rooms::contact_sync`]). Promises: at most one number for a text, and none for a text that
//! can't be an account's number. A number that is found need not be in service, nor of a kind that can register; then no account
//! has it.

use super::Phone;
use chaski_store::AccountId;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

/// Longest text that is looked at: a number with an extension, written out.
const TEXT_BYTES_MAX: usize = 120;

/// The country of numbers that are written without a country code.
#[derive(Debug, Clone, Copy)]
pub struct Home(Option<Region>);

impl Home {
    /// The country of an account's own number. A service account has none, so only international numbers are understood for it.
    pub fn of(account: AccountId) -> Self {
        let number = account.phone_number().map(|number| format!("+{number}"));
        let region = number.and_then(|number| {
            let parsed = PHONE_NUMBER_UTIL.parse(&number, None).ok()?;
            // A fictitious number is in no region, so the main region of its country code is taken.
            let exact = PHONE_NUMBER_UTIL.get_region_for_number(&parsed);
            exact.or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(parsed.country_code))
        });
        Self(region)
    }

    /// The E.164 digits that a text stands for, if it stands for a number.
    pub fn read(self, text: &str) -> Option<u64> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let parsed = PHONE_NUMBER_UTIL.parse(text, self.0).ok()?;
        let e164 = parsed.format_as(PhoneNumberFormat::E164);
        Some(Phone::parse(&e164).ok()?.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn home(number: u64) -> Home {
        Home::of(AccountId::phone(number).unwrap())
    }

    #[test]
    fn one_number_in_every_spelling_of_its_country() {
        let germany = home(4_915_123_456_789);
        for text in [
            "+4915123456780",
            "+49 151 23456780",
            "+49 (0)151 / 234-567-80",
            "0049 151 23456780",
            "0151 23456780",
            "(0151) 2345 6780",
            "0151.2345.6780",
            "tel:+49-151-23456780",
            "0151 23456780 ext. 12",
            "0151 23456780;ext=12",
            "０１５１２３４５６７８０",
            "＋４９１５１２３４５６７８０",
            "٠١٥١٢٣٤٥٦٧٨٠",
            "\u{202a}+49 151 23456780\u{202c}",
            "\u{a0}0151\u{a0}23456780",
        ] {
            assert_eq!(germany.read(text), Some(4_915_123_456_780), "{text}");
        }
    }

    #[test]
    fn the_country_of_the_owner_decides() {
        assert_eq!(home(447_911_123_456).read("07911 123457"), Some(447_911_123_457));
        assert_eq!(home(447_911_123_456).read("00 49 151 23456780"), Some(4_915_123_456_780));
        assert_eq!(home(12_124_567_890).read("(212) 456-7891"), Some(12_124_567_891));
        assert_eq!(home(12_124_567_890).read("1-212-456-7891"), Some(12_124_567_891));
        assert_eq!(home(12_124_567_890).read("011 49 151 23456780"), Some(4_915_123_456_780));
        assert_eq!(
            home(15_551_230_001).read("555 123 0002"),
            Some(15_551_230_002),
            "fiction has a country too"
        );
        assert_eq!(home(393_123_456_789).read("02 1234 5678"), Some(390_212_345_678), "Italy keeps its zero");
        let service = Home::of(AccountId::service("bot"));
        assert_eq!(service.read("+49 151 23456780"), Some(4_915_123_456_780));
        assert_eq!(service.read("0151 23456780"), None);
    }

    #[test]
    fn junk_is_no_number() {
        let germany = home(4_915_123_456_789);
        let long = "1".repeat(10_000);
        for text in
            ["", " ", "+", "Mama", "*100#", "112", "+999123456789", "😀", "\0", &*long, "+49", "0", "1/2"]
        {
            assert_eq!(germany.read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            _ = home(4_915_123_456_789).read(&text);
        }

        /// However it is cut up, it is the same number.
        #[test]
        fn separators_mean_nothing(cuts in prop::collection::vec(prop::sample::select(vec!["", " ", "-", ".", " - ", "\u{a0}"]), 10)) {
            let spelled: String = "15123456780".chars().zip(cuts.iter().chain(std::iter::repeat(&"")))
                .flat_map(|(digit, cut)| [digit.to_string(), (*cut).to_owned()]).collect();
            prop_assert_eq!(home(4_915_123_456_789).read(&format!("+49{spelled}")), Some(4_915_123_456_780));
            prop_assert_eq!(home(4_915_123_456_789).read(&format!("0{spelled}")), Some(4_915_123_456_780));
        }
    }
}
