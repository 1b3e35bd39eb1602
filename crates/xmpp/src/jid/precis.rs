//! PRECIS (RFC 8264): which texts may be names, and which are the same. The derivation of its tables from Unicode's
//! properties, and the profiles `UsernameCaseMapped`, `OpaqueString` (RFC 8265) and `Nickname` (RFC 8266) as far as they
//! concern what is not ASCII.
//!
//! Called by [`super`] for parts of addresses. The properties are those of the unicode-rs crates, so Unicode is as new as they
//! are (18 with those in Cargo.lock): `precis-core` derives from Unicode 6.3, which has no bitcoin sign and few emoji.
//! Promises that what comes out is a normal form, which comes out again as it is.

use std::borrow::Cow;
use unicode_bidi::{BidiClass, bidi_class};
use unicode_joining_type::{JoiningType, get_joining_type};
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// RFC 8264 §4: which characters a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Identifier,
    Freeform,
}

/// RFC 8264 §8: what follows from a character's properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Derived {
    /// Valid in both classes.
    Valid,
    /// Valid in free form only.
    Free,
    /// Valid where its neighbours make it so (RFC 5892 appendix A).
    Contextual,
    Disallowed,
}

fn derived(c: char) -> Derived {
    use GeneralCategory as Category;
    match c {
        // RFC 8264 §9.6.
        'ß' | 'ς' | '\u{6FD}' | '\u{6FE}' | '\u{F0B}' | '\u{3007}' => return Derived::Valid,
        '\u{B7}' | '\u{375}' | '\u{5F3}' | '\u{5F4}' | '\u{30FB}' => return Derived::Contextual,
        '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}' => return Derived::Contextual,
        '\u{640}' | '\u{7FA}' | '\u{302E}' | '\u{302F}' | '\u{3031}'..='\u{3035}' | '\u{303B}' => {
            return Derived::Disallowed;
        }
        '!'..='~' => return Derived::Valid,
        '\u{200C}' | '\u{200D}' => return Derived::Contextual,
        _ if is_old_hangul(c) || is_ignorable(c) => return Derived::Disallowed,
        _ => {}
    }
    let category = c.general_category();
    match category {
        Category::Unassigned | Category::Control => Derived::Disallowed,
        _ if has_compatible(c) => Derived::Free,
        Category::LowercaseLetter
        | Category::UppercaseLetter
        | Category::OtherLetter
        | Category::DecimalNumber
        | Category::ModifierLetter
        | Category::NonspacingMark
        | Category::SpacingMark => Derived::Valid,
        Category::TitlecaseLetter
        | Category::LetterNumber
        | Category::OtherNumber
        | Category::EnclosingMark => Derived::Free,
        Category::SpaceSeparator
        | Category::MathSymbol
        | Category::CurrencySymbol
        | Category::ModifierSymbol
        | Category::OtherSymbol
        | Category::ConnectorPunctuation
        | Category::DashPunctuation
        | Category::OpenPunctuation
        | Category::ClosePunctuation
        | Category::InitialPunctuation
        | Category::FinalPunctuation
        | Category::OtherPunctuation => Derived::Free,
        Category::Format
        | Category::PrivateUse
        | Category::Surrogate
        | Category::LineSeparator
        | Category::ParagraphSeparator => Derived::Disallowed,
    }
}

/// RFC 8264 §9.17: another way to write something else.
fn has_compatible(c: char) -> bool {
    let once = || std::iter::once(c);
    is_nfkc_quick(once()) != IsNormalized::Yes && once().nfkc().ne([c])
}

/// RFC 8264 §9.9: conjoining jamo.
fn is_old_hangul(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11FF}' | '\u{A960}'..='\u{A97C}' | '\u{D7B0}'..='\u{D7C6}' | '\u{D7CB}'..='\u{D7FB}')
}

/// RFC 8264 §9.13: `Default_Ignorable_Code_Point` and `Noncharacter_Code_Point`, which Unicode has set aside for good.
fn is_ignorable(c: char) -> bool {
    let set_aside = matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}' | '\u{FDD0}'..='\u{FDEF}');
    set_aside || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Whether all characters are of the class, each where it may stand.
fn is_of(class: Class, text: &str) -> bool {
    let mut whole = None;
    text.char_indices().all(|(at, c)| match (derived(c), c) {
        (Derived::Valid, _) => true,
        (Derived::Free, _) => class == Class::Freeform,
        // These rules look at all of the text: once, however often they are asked.
        (Derived::Contextual, '\u{30FB}') => whole.get_or_insert_with(|| Whole::of(text)).has_kana_or_han,
        (Derived::Contextual, '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}') => {
            !whole.get_or_insert_with(|| Whole::of(text)).mixes_digits
        }
        (Derived::Contextual, _) => is_in_context(text, at, c),
        (Derived::Disallowed, _) => false,
    })
}

/// What RFC 5892 appendix A.7 to A.9 ask of a text.
struct Whole {
    has_kana_or_han: bool,
    /// It has digits of both Arabic kinds.
    mixes_digits: bool,
}

impl Whole {
    fn of(text: &str) -> Self {
        let is_kana_or_han =
            |c: char| matches!(c.script(), Script::Hiragana | Script::Katakana | Script::Han);
        let has = |range: std::ops::RangeInclusive<char>| text.chars().any(|c| range.contains(&c));
        Self {
            has_kana_or_han: text.chars().any(is_kana_or_han),
            mixes_digits: has('\u{660}'..='\u{669}') && has('\u{6F0}'..='\u{6F9}'),
        }
    }
}

/// The other rules of that appendix, for the character `c` that stands at `at`: they look at its neighbours.
fn is_in_context(text: &str, at: usize, c: char) -> bool {
    let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
    let (last, next) = (before.chars().next_back(), after.chars().next());
    match c {
        '\u{200C}' => is_behind_virama(last) || is_between_joining(before, after),
        '\u{200D}' => is_behind_virama(last),
        '\u{B7}' => last == Some('l') && next == Some('l'),
        '\u{375}' => next.is_some_and(|c| c.script() == Script::Greek),
        '\u{5F3}' | '\u{5F4}' => last.is_some_and(|c| c.script() == Script::Hebrew),
        _ => false,
    }
}

fn is_behind_virama(last: Option<char>) -> bool {
    last.is_some_and(|c| canonical_combining_class(c) == 9)
}

/// Whether letters that join stand on both sides, so that something is to be kept apart.
fn is_between_joining(before: &str, after: &str) -> bool {
    let is_opaque = |joining: &JoiningType| *joining != JoiningType::Transparent;
    let left = before.chars().rev().map(get_joining_type).find(is_opaque);
    let right = after.chars().map(get_joining_type).find(is_opaque);
    matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

/// The Bidi Rule (RFC 5893 §2), which asks nothing of a text without letters that are written from the right.
fn is_directed(text: &str) -> bool {
    use BidiClass::{AL, AN, BN, CS, EN, ES, ET, L, NSM, ON, R};
    let has = |class| text.chars().any(|c| bidi_class(c) == class);
    if !(has(R) || has(AL) || has(AN)) {
        return true;
    }
    let Some(first) = text.chars().next().map(bidi_class) else { return true };
    let last = text.chars().rev().map(bidi_class).find(|&class| class != NSM);
    let neutral = [EN, ES, CS, ET, ON, BN, NSM];
    let (own, ends): (&[BidiClass], &[BidiClass]) = match first {
        R | AL => (&[R, AL, AN], &[R, AL, EN, AN]),
        L => (&[L], &[L, EN]),
        _ => return false,
    };
    let is_allowed = |class: BidiClass| own.contains(&class) || neutral.contains(&class);
    text.chars().all(|c| is_allowed(bidi_class(c)))
        && last.is_some_and(|class| ends.contains(&class))
        && !(has(EN) && has(AN))
}

/// `UsernameCaseMapped` (RFC 8265 §3.3), for local parts. For one label of a domain it is the mapping of RFC 5895 and what
/// IDNA2008 allows (RFC 5892), which derives the same from the same properties.
pub(super) fn username(text: &str) -> Option<String> {
    let narrow: String = text.chars().flat_map(unfold_width).collect();
    let prepared: String = narrow.to_lowercase().nfc().collect();
    (is_of(Class::Identifier, &prepared) && is_directed(&prepared)).then_some(prepared)
}

/// A character of full or half width as the one that it stands for.
fn unfold_width(c: char) -> impl Iterator<Item = char> {
    let has_width = matches!(c, '\u{3000}' | '\u{FF01}'..='\u{FFEE}');
    let unfolded: smallvec::SmallVec<[char; 2]> =
        if has_width { std::iter::once(c).nfkd().collect() } else { smallvec::smallvec![c] };
    unfolded.into_iter()
}

/// `OpaqueString` (RFC 8265 §4.2), for resources, a little more generous than it is written: what only says how its
/// neighbours are to be drawn is left out, as RFC 6122 had it, and not refused. Otherwise half of the emoji that people
/// type (`❤️`, families, flags of lands) would be no part of a name.
pub(super) fn opaque(text: &str) -> Option<String> {
    let spaced = text.chars().filter(|&c| !is_left_out(c)).map(plain_space);
    let normal: String = spaced.nfc().collect();
    let prepared = without_idle_joiners(&normal);
    is_of(Class::Freeform, &prepared).then(|| prepared.into_owned())
}

/// `Nickname` (RFC 8266 §2): a name as people are shown it.
pub(super) fn nickname(text: &str) -> Option<String> {
    let spaced = text.chars().filter(|&c| !is_left_out(c)).map(plain_space);
    let normal: String = spaced.nfkc().collect();
    let words: Vec<&str> = normal.split(' ').filter(|word| !word.is_empty()).collect();
    let joined = words.join(" ");
    let prepared = without_idle_joiners(&joined);
    is_of(Class::Freeform, &prepared).then(|| prepared.into_owned())
}

fn plain_space(c: char) -> char {
    if !c.is_ascii() && c.general_category() == GeneralCategory::SpaceSeparator { ' ' } else { c }
}

/// Variation selectors, tags, and what is nothing at all.
fn is_left_out(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{180B}'..='\u{180F}' | '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Without the joiners that join nothing that can be joined: all but those of some scripts.
fn without_idle_joiners(text: &str) -> Cow<'_, str> {
    let is_joiner = |c: char| matches!(c, '\u{200C}' | '\u{200D}');
    if !text.contains(is_joiner) {
        return Cow::Borrowed(text);
    }
    let kept = text.char_indices().filter(|&(at, c)| !is_joiner(c) || is_in_context(text, at, c));
    Cow::Owned(kept.map(|(_, c)| c).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_what_the_registry_has() {
        // RFC 8264 §8 and IANA's tables, and what Unicode has had since.
        for (c, expected) in [
            ('a', Derived::Valid),
            ('A', Derived::Valid),
            (' ', Derived::Free),
            ('ß', Derived::Valid),
            ('ẞ', Derived::Valid),
            ('₿', Derived::Free),
            ('📱', Derived::Free),
            ('🫨', Derived::Free),
            ('ﬁ', Derived::Free),
            ('½', Derived::Free),
            ('・', Derived::Contextual),
            ('\u{200D}', Derived::Contextual),
            ('\u{640}', Derived::Disallowed),
            ('\u{1100}', Derived::Disallowed),
            ('\u{FE0F}', Derived::Disallowed),
            ('\u{202E}', Derived::Disallowed),
            ('\u{E000}', Derived::Disallowed),
            ('\u{2028}', Derived::Disallowed),
            ('\u{7}', Derived::Disallowed),
            ('\u{378}', Derived::Disallowed),
            ('\u{1FFFE}', Derived::Disallowed),
        ] {
            assert_eq!(derived(c), expected, "{c:?}");
        }
    }

    #[test]
    fn some_are_valid_among_some_neighbours() {
        for (text, expected) in [
            ("l·l", true),
            ("a·b", false),
            ("͵α", true),
            ("α͵", false),
            ("א׳", true),
            ("׳א", false),
            ("カ・", true),
            ("a・", false),
            ("٠٩", true),
            ("٠۹", false),
            // Virama, and letters that join.
            ("क्\u{200D}ष", true),
            ("क्\u{200C}ष", true),
            ("ع\u{200C}ر", true),
            ("ع\u{64B}\u{200C}ر", true),
            ("ا\u{200C}ر", false),
            ("a\u{200D}b", false),
        ] {
            assert_eq!(is_of(Class::Freeform, text), expected, "{text}");
        }
    }

    #[test]
    fn names_from_the_right_are_whole() {
        for (text, expected) in [
            ("abc", true),
            ("אבג", true),
            ("אב1", true),
            ("א1ב", true),
            ("1אב", false),
            ("aא", false),
            ("אa", false),
            ("ا١1", false),
            ("אב\u{5B0}", true),
            ("אב-", false),
        ] {
            assert_eq!(is_directed(text), expected, "{text}");
        }
    }

    #[test]
    fn nicknames() {
        for (text, expected) in [
            ("  Foo  \u{3000}Bar ", Some("Foo Bar")),
            ("Ⅳ ❤\u{FE0F}", Some("IV ❤")),
            ("₿ob ẞ", Some("₿ob ẞ")),
            ("a\u{7}", None),
            ("علی\u{200C}رضا", Some("علی\u{200C}رضا")),
        ] {
            assert_eq!(nickname(text).as_deref(), expected, "{text}");
        }
    }
}
