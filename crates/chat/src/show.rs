//! What a message looks like on the terminal. Nothing that others send can move the cursor or change colours.
//!
//! Everything is said in words and signs; colours ([`Style`]) only repeat it, for terminals and people that have them.

use crate::place::Place;
use chaski_client::message::Received;

/// The name under which an address is shown: a number without the domain if it is our own.
pub fn name<'a>(jid: &'a str, own_domain: &str) -> &'a str {
    let bare = bare(jid);
    match bare.split_once('@') {
        Some((local, domain)) if domain == own_domain => local,
        _ => bare,
    }
}

/// Without the resource.
pub fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

/// The line, or lines, of an incoming message of `who`; `None` if it has nothing to show.
pub fn incoming(message: &Received, who: &str, style: Style) -> Option<String> {
    let content = content(message)?;
    let who = style.person(&harmless(who));
    Some(match &message.delayed {
        Some(stamp) => format!("[{who}, {}] {content}", style.aside(&harmless(stamp))),
        None => format!("[{who}] {content}"),
    })
}

/// Whether and how colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// For a terminal that has them, and a person who wants them (https://no-color.org).
    pub colours: bool,
    /// A line may be drawn over itself.
    pub redraws: bool,
}

impl Style {
    /// Somebody's name.
    pub fn person(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is of less weight.
    pub fn aside(self, text: &str) -> String {
        self.with("2", text)
    }

    /// What has been read, or who is here.
    pub fn good(self, text: &str) -> String {
        self.with("36", text)
    }

    /// What went wrong.
    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// ECMA-48 §8.3.117.
    fn with(self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn content(message: &Received) -> Option<String> {
    let body = message.body.as_deref().map(str::trim).filter(|body| !body.is_empty());
    let place = message.place.as_ref().and_then(|(lat, lon)| Place::parse(&format!("{lat},{lon}")));
    if let Some(place) = place.or_else(|| Place::from_uri(body?)) {
        return Some(format!("location {place} ({})", place.uri()));
    }
    if let Some(link) = message.link.as_deref().filter(|link| body.is_none_or(|body| body == *link)) {
        return Some(format!("{}: {}", kind(link), harmless(link)));
    }
    body.map(harmless)
}

/// What a link leads to, by its name.
fn kind(link: &str) -> &'static str {
    let path = link.split(['?', '#']).next().unwrap_or(link);
    let extension =
        path.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, extension)| extension);
    match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
        "ogg" | "oga" | "opus" | "m4a" | "amr" | "aac" | "mp3" | "wav" => "voice note",
        "jpg" | "jpeg" | "png" | "webp" | "gif" | "heic" => "picture",
        "mp4" | "webm" | "mov" | "3gp" => "video",
        _ => "file",
    }
}

/// Control characters (and those that turn the direction of writing) made visible; further lines are indented.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\n    "),
            '\t' => shown.push(' '),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => shown.push('\u{FFFD}'),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Received {
        Received { from: "+15550100002@x/phone".into(), body: Some(body.into()), ..Received::default() }
    }

    #[test]
    fn messages_are_shown() {
        const PLAIN: Style = Style { colours: false, redraws: false };
        let incoming =
            |message: &Received, domain: &str| incoming(message, name(&message.from, domain), PLAIN);
        assert_eq!(incoming(&message("hello"), "x").unwrap(), "[+15550100002] hello");
        assert_eq!(incoming(&message("hello"), "y").unwrap(), "[+15550100002@x] hello");
        let late = Received { delayed: Some("2024-01-01T00:00:00Z".into()), ..message("Ñandú") };
        assert_eq!(incoming(&late, "x").unwrap(), "[+15550100002, 2024-01-01T00:00:00Z] Ñandú");
        let place = incoming(&message("geo:52.52,13.4"), "x").unwrap();
        assert_eq!(place, "[+15550100002] location 52.52, 13.4 (geo:52.52,13.4)");
        let note = Received { link: Some("https://x/a.ogg?t".into()), ..message("https://x/a.ogg?t") };
        assert_eq!(incoming(&note, "x").unwrap(), "[+15550100002] voice note: https://x/a.ogg?t");
        assert_eq!(incoming(&Received { body: None, ..message("") }, "x"), None);
    }

    #[test]
    fn colours_are_ours_and_end() {
        let style = Style { colours: true, redraws: false };
        let shown = incoming(&message("\u{1b}[31mred"), "\u{1b}[7mEve", style).unwrap();
        assert_eq!(shown, "[\u{1b}[1m\u{FFFD}[7mEve\u{1b}[0m] \u{FFFD}[31mred");
    }

    #[test]
    fn nothing_moves_the_cursor() {
        let shown = harmless("a\u{1b}[2Jb\r\nc\u{202E}d");
        assert_eq!(shown, "a\u{FFFD}[2Jb\u{FFFD}\n    cd");
    }
}
