//! Numbers reserved for fiction: no subscriber will ever have one, so tests and demonstrations use them.
//!
//! Sources: NANPA (555-0100 to 555-0199 in each area code; 555 is no area code), Ofcom's numbers for drama, ACMA's
//! numbers for creative works, ARCEP decision 2018-0881 art. 2.5.12, PTS's numbers for fiction, and the Bundesnetzagentur's.
//! A fictitious number that is missing here merely costs an SMS; a real number listed by mistake could not be registered by its
//! owner. So only certain ones are listed.

/// The country calling code if these E.164 digits are reserved for fiction.
pub(super) fn country(digits: &str) -> Option<u16> {
    if is_north_american(digits) {
        return Some(1);
    }
    RANGES.iter().find(|(_, pattern)| matches(digits, pattern)).map(|(country, _)| *country)
}

fn is_north_american(digits: &str) -> bool {
    if digits.len() != 11 || !digits.starts_with('1') {
        return false;
    }
    let area_exists = digits.as_bytes()[1] >= b'2';
    &digits[1..4] == "555" || (area_exists && &digits[4..9] == "55501")
}

/// `x` stands for any digit; the lengths must be equal.
fn matches(digits: &str, pattern: &str) -> bool {
    digits.len() == pattern.len() && digits.bytes().zip(pattern.bytes()).all(|(d, p)| p == b'x' || p == d)
}

const RANGES: &[(u16, &str)] = &[
    // United Kingdom: mobile, no area, London, other towns.
    (44, "447700900xxx"),
    (44, "441632960xxx"),
    (44, "442079460xxx"),
    (44, "441134960xxx"),
    (44, "441144960xxx"),
    (44, "441154960xxx"),
    (44, "441164960xxx"),
    (44, "441174960xxx"),
    (44, "441184960xxx"),
    (44, "441214960xxx"),
    (44, "441314960xxx"),
    (44, "441414960xxx"),
    (44, "441514960xxx"),
    (44, "441614960xxx"),
    (44, "441914980xxx"),
    (44, "442896496xxx"),
    (44, "442920180xxx"),
    // Australia: four regions, twice each; single mobile numbers.
    (61, "6125550xxxx"),
    (61, "6127010xxxx"),
    (61, "6135550xxxx"),
    (61, "6137010xxxx"),
    (61, "6175550xxxx"),
    (61, "6177010xxxx"),
    (61, "6185550xxxx"),
    (61, "6187010xxxx"),
    (61, "61491570006"),
    (61, "61491570110"),
    (61, "61491570156"),
    (61, "61491570157"),
    (61, "61491570158"),
    (61, "61491570159"),
    (61, "61491570313"),
    (61, "61491570737"),
    // France: five regions, mobile.
    (33, "3319900xxxx"),
    (33, "3326191xxxx"),
    (33, "3335301xxxx"),
    (33, "3346571xxxx"),
    (33, "3353649xxxx"),
    (33, "3363998xxxx"),
    // Sweden: mobile 070-1740605 to 1740699, of which the round part.
    (46, "4670174061x"),
    (46, "4670174062x"),
    (46, "4670174063x"),
    (46, "4670174064x"),
    (46, "4670174065x"),
    (46, "4670174066x"),
    (46, "4670174067x"),
    (46, "4670174068x"),
    (46, "4670174069x"),
    // Germany: Berlin, Frankfurt, Hamburg, Cologne, Munich; mobile.
    (49, "493023125xxx"),
    (49, "496990009xxx"),
    (49, "494066969xxx"),
    (49, "492214710xxx"),
    (49, "498999998xxx"),
    (49, "4917139200xx"),
    (49, "49176040690xx"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_begins_with_its_country_code() {
        for (country, pattern) in RANGES {
            assert!(pattern.starts_with(&country.to_string()), "{pattern}");
            assert!((11..=13).contains(&pattern.len()), "{pattern}");
        }
    }

    #[test]
    fn near_misses_are_real() {
        for digits in [
            "447700901000",
            "44770090012",
            "12025550200",
            "1202555012",
            "10025550123",
            "491713921000",
            "4917139210001",
        ] {
            assert_eq!(country(digits), None, "{digits}");
        }
        assert_eq!(country("12025550199"), Some(1));
        assert_eq!(country("15559999999"), Some(1));
    }
}
