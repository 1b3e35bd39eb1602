//! One part of a file (RFC 9110 §14): what is asked for, and what that is of a file of this length. Pure.
//!
//! Several parts at once are not served, which a client has to expect (§14.2): it gets the whole.

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From a byte up to another, the last included.
    Bytes { first: u64, last: u64 },
    /// What is asked for is not there.
    Nothing,
}

/// What a `Range` header asks of so many bytes.
pub(super) fn wanted(range: &str, size: u64) -> Part {
    let Some(spec) = range.trim().strip_prefix("bytes=").map(str::trim) else { return Part::Whole };
    // Signs and spaces are no digits (§14.1.1), whatever a parser of numbers thinks.
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // One that is too large is behind the end.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((from, to)) = spec.split_once('-') else { return Part::Whole };
    match (number(from), number(to)) {
        (None, Some(count)) if from.is_empty() => match count.min(size) {
            0 => Part::Nothing,
            count => Part::Bytes { first: size - count, last: size - 1 },
        },
        (Some(first), None) if to.is_empty() => up_to(first, size.saturating_sub(1), size),
        (Some(first), Some(last)) if first <= last => up_to(first, last, size),
        _ => Part::Whole,
    }
}

fn up_to(first: u64, last: u64, size: u64) -> Part {
    if first >= size { Part::Nothing } else { Part::Bytes { first, last: last.min(size - 1) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_ten_bytes() {
        let bytes = |first, last| Part::Bytes { first, last };
        for (range, part) in [
            ("bytes=0-", bytes(0, 9)),
            ("bytes=3-", bytes(3, 9)),
            ("bytes=3-4", bytes(3, 4)),
            (" bytes=9-9 ", bytes(9, 9)),
            ("bytes=0-99999999999999999999999", bytes(0, 9)),
            ("bytes=-1", bytes(9, 9)),
            ("bytes=-99", bytes(0, 9)),
            ("bytes=-0", Part::Nothing),
            ("bytes=10-", Part::Nothing),
            ("bytes=99999999999999999999-", Part::Nothing),
            ("bytes=4-3", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=", Part::Whole),
            ("chapters=1-2", Part::Whole),
        ] {
            assert_eq!(wanted(range, 10), part, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Part::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_lies_in_the_file(range in "bytes=[-0-9, ]{0,30}", size: u64) {
            if let Part::Bytes { first, last } = wanted(&range, size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
