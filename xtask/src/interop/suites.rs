//! XEP-0479 (Compliance Suites 2023, 0.1.0), the server's side: what each level wants, against what is declared.

use super::declarations::Declared;

/// A specification that a feature wants.
#[derive(Clone, Copy)]
enum Wanted {
    Rfc(u16),
    Xep(u16),
}
use Wanted::{Rfc, Xep};

/// Whether the basic level wants a feature already.
#[derive(Clone, Copy)]
enum Level {
    Basic,
    Advanced,
}
use Level::{Advanced, Basic};

/// Suite, feature, level, specifications. What is for clients only is left out.
const FEATURES: &[(&str, &str, Level, &[Wanted])] = &[
    ("Core", "Core features", Basic, &[Rfc(6120)]),
    ("Core", "TLS", Basic, &[Rfc(7590)]),
    ("Core", "Direct TLS", Advanced, &[Xep(368)]),
    ("Core", "Feature discovery", Basic, &[Xep(30)]),
    ("Core", "Feature broadcasts", Advanced, &[Xep(115)]),
    ("Core", "Server extensibility", Basic, &[Xep(114)]),
    ("Core", "Event publishing", Advanced, &[Xep(163)]),
    ("Web", "Connection mechanisms", Basic, &[Rfc(7395), Xep(206)]),
    ("IM", "Core features", Basic, &[Rfc(6121)]),
    ("IM", "User avatar compatibility", Advanced, &[Xep(398), Xep(153)]),
    ("IM", "vcard-temp", Basic, &[Xep(54)]),
    ("IM", "Outbound message synchronization", Basic, &[Xep(280)]),
    ("IM", "User blocking", Advanced, &[Xep(191)]),
    ("IM", "Group chat", Basic, &[Xep(45), Xep(249)]),
    ("IM", "Advanced group chat", Advanced, &[Xep(48), Xep(313), Xep(402), Xep(410)]),
    ("IM", "Private data by PubSub", Advanced, &[Xep(223)]),
    ("IM", "Private XML storage", Advanced, &[Xep(49)]),
    ("IM", "Stream management", Advanced, &[Xep(198)]),
    ("IM", "History storage and retrieval", Advanced, &[Xep(313)]),
    ("IM", "File upload", Basic, &[Xep(363)]),
    ("Mobile", "Stream management", Basic, &[Xep(198)]),
    ("Mobile", "Client state indication", Basic, &[Xep(352)]),
    ("Mobile", "Third party push notifications", Advanced, &[Xep(357)]),
    ("A/V calling", "STUN/TURN discovery", Basic, &[Xep(215)]),
];

/// What will not come, and why.
const REFUSED: &[(u16, &str)] = &[
    (114, "not planned"),
    (206, "refused on purpose, WebSocket is there"),
    (313, "refused on purpose, nothing is kept"),
];

/// The table of levels.
pub(super) fn table(declared: &Declared) -> String {
    let mut table = String::from("| Suite | Feature | Level | Wants | State |\n|---|---|---|---|---|\n");
    for (suite, feature, level, wanted) in FEATURES {
        let level = match level {
            Basic => "basic",
            Advanced => "advanced",
        };
        let names: Vec<_> = wanted.iter().map(|one| name(*one)).collect();
        let state = state(declared, wanted);
        table += &format!("| {suite} | {feature} | {level} | {} | {state} |\n", names.join(", "));
    }
    table
}

fn name(wanted: Wanted) -> String {
    match wanted {
        Rfc(number) => format!("RFC {number}"),
        Xep(number) => format!("XEP-{number:04}"),
    }
}

fn state(declared: &Declared, wanted: &[Wanted]) -> String {
    let remarks: Vec<_> = wanted.iter().filter_map(|one| remark(declared, *one)).collect();
    if remarks.is_empty() { "yes".to_owned() } else { remarks.join("; ") }
}

/// What is to be said of one, unless it is all there.
fn remark(declared: &Declared, wanted: Wanted) -> Option<String> {
    let (found, number) = match wanted {
        Rfc(number) => (declared.rfc(number), 0),
        Xep(number) => (declared.xep(number), number),
    };
    let said = match found {
        Some(found) => format!("lacks {}", found.lacks.as_ref()?),
        None => REFUSED
            .iter()
            .find(|(refused, _)| *refused == number)
            .map_or("not built yet", |(_, why)| why)
            .to_owned(),
    };
    Some(format!("{} {said}", name(wanted)))
}
