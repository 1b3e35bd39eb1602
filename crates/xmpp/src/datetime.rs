//! Dates and times on the wire (XEP-0082), to and from Unix milliseconds. Called by whoever writes or reads a stamp.

/// `2026-11-20T19:02:03.456Z`, or without the fraction if it is zero.
pub fn format(unix_ms: u64) -> String {
    let mut out = Vec::with_capacity(24);
    write(unix_ms, &mut out);
    out.iter().map(|&b| char::from(b)).collect()
}

/// Appends [`format`]'s text.
pub fn write(unix_ms: u64, out: &mut Vec<u8>) {
    let seconds = unix_ms / 1000;
    // Beyond the year 9999 there is no form for it: the last moment that has one.
    let days = (seconds / 86_400).min(2_932_896);
    let (year, month, day) = civil_from_days(days);
    digits(year, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(b'T');
    digits(seconds / 3600 % 24, 2, out);
    out.push(b':');
    digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    digits(seconds % 60, 2, out);
    if !unix_ms.is_multiple_of(1000) {
        out.push(b'.');
        digits(unix_ms % 1000, 3, out);
    }
    out.push(b'Z');
}

fn digits(value: u64, width: u32, out: &mut Vec<u8>) {
    for power in (0..width).rev() {
        out.push(b'0' + (value / 10u64.pow(power) % 10) as u8);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Counts in years that begin in
/// March, so that the leap day is the last one, and in eras of 400 years, which all have the same number of days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse, for 0000-03-01 and later; may be negative.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Parses a DateTime of XEP-0082 §3.2 (any offset, any fraction). `None` if it is none or before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let b = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let field = b.get(from..to)?;
        field.iter().try_fold(0, |sum, d| d.is_ascii_digit().then(|| sum * 10 + i64::from(d - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second counts as the next one.
    if !separators.iter().all(|&(at, s)| b[at] == s)
        || !(1..=month_days).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (fraction_ms, zone) = fraction(&text[19..])?;
    let offset_minutes = offset(zone)?;
    let seconds =
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + (minute - offset_minutes) * 60 + second;
    u64::try_from(seconds * 1000 + fraction_ms).ok()
}

/// The milliseconds of a fraction, if there is one, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 {
        return None;
    }
    let value = rest.bytes().take(len.min(3)).fold(0, |sum, d| sum * 10 + i64::from(d - b'0'));
    let scale = [0, 100, 10, 1][len.min(3)];
    Some((value * scale, &rest[len..]))
}

/// Minutes east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes() {
        b"Z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let digit = |b: u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
    let &[h1, h2, b':', m1, m2] = rest else { return None };
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        assert_eq!(format(0), "1970-01-01T00:00:00Z");
        assert_eq!(format(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(format(u64::MAX).get(..10), Some("9999-12-31"));
        assert_eq!(parse("2002-09-10T23:41:07Z"), Some(1_031_701_267_000));
        assert_eq!(parse("1969-07-21T02:56:15Z"), None);
        assert_eq!(parse("2000-01-01T00:00:00.5-01:30"), Some(946_690_200_500));
        assert_eq!(parse("2000-01-01T00:00:00.123456+00:00"), Some(946_684_800_123));
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for bad in [
            "",
            "2000-01-01",
            "2000-01-01T00:00:00",
            "2001-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-00-01T00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00+1:00",
            "2000-01-01 00:00:00Z",
            "2000-01-01T00:00:0éZ",
            "+000-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(unix_ms in 0u64..253_402_300_800_000) {
            prop_assert_eq!(parse(&format(unix_ms)), Some(unix_ms));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
