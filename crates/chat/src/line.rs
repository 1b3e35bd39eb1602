//! What a typed line means.

use crate::place::Place;

/// What `/help` says.
pub const HELP: &str = "\
+NUMBER text     send a text to a number, which becomes the partner
text             send a text to the partner (begin with // to send a text that begins with /)
/to ADDRESS      make a number, or user@domain, the partner
/link URL        send a link to a file, a picture or a voice note
/place LAT,LON   send a location
/quit            stop when everything is accepted
Marks: ✓ accepted by the server, ✓✓ delivered to the device, ✓✓ read.";

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// Send to the partner.
    Text(String),
    /// Choose a partner, and send this if there is something.
    To(String, Option<String>),
    /// Send a link.
    Link(String),
    /// Send a location.
    Place(Place),
    /// Show the help.
    Help,
    /// Stop.
    Quit,
    /// It can't be understood, and this is why.
    Wrong(String),
}

impl Line {
    /// Reads a line.
    pub fn parse(line: &str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Empty;
        }
        if let Some(text) = line.strip_prefix("//") {
            return Self::Text(format!("/{text}"));
        }
        if let Some(command) = line.strip_prefix('/') {
            let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
            return Self::command(name, rest.trim());
        }
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match number(first) {
            Some(number) => {
                let rest = rest.trim();
                Self::To(number, (!rest.is_empty()).then(|| rest.to_owned()))
            }
            None => Self::Text(line.to_owned()),
        }
    }

    fn command(name: &str, rest: &str) -> Self {
        match name {
            "to" if rest.is_empty() => Self::Wrong("to whom? Type /to +NUMBER".into()),
            "to" => Self::To(number(rest).unwrap_or_else(|| rest.to_owned()), None),
            "link" if rest.contains(':') && !rest.contains(char::is_whitespace) => {
                Self::Link(rest.to_owned())
            }
            "link" => Self::Wrong("that is no link. Type /link https://…".into()),
            "place" => Place::parse(rest)
                .map_or_else(|| Self::Wrong("that is no place. Type /place 52.52,13.40".into()), Self::Place),
            "help" | "?" => Self::Help,
            "quit" | "exit" | "q" => Self::Quit,
            _ => Self::Wrong(format!("there is no command /{name}; /help lists them")),
        }
    }
}

/// A phone number as people write them, without what is only for the eye. `None`: it is none.
pub fn number(text: &str) -> Option<String> {
    let rest = text.trim().strip_prefix('+')?;
    let digits: String = rest.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')).collect();
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let to = |number: &str, text: Option<&str>| Line::To(number.into(), text.map(Into::into));
        assert_eq!(Line::parse("  "), Line::Empty);
        assert_eq!(Line::parse("hello there"), Line::Text("hello there".into()));
        assert_eq!(Line::parse("//help"), Line::Text("/help".into()));
        assert_eq!(Line::parse("+1-555-010-0002 hi you"), to("+15550100002", Some("hi you")));
        assert_eq!(Line::parse("+15550100002"), to("+15550100002", None));
        assert_eq!(Line::parse("/to +1 (555) 010 0002"), to("+15550100002", None));
        assert_eq!(Line::parse("/to ann@example.org"), to("ann@example.org", None));
        assert_eq!(Line::parse("+1 is more than 0"), Line::Text("+1 is more than 0".into()));
        assert_eq!(Line::parse("/link https://x/a.ogg"), Line::Link("https://x/a.ogg".into()));
        assert_eq!((Line::parse("/help"), Line::parse("/quit")), (Line::Help, Line::Quit));
        for wrong in ["/to", "/link x y", "/place here", "/place 91,0", "/dance"] {
            assert!(matches!(Line::parse(wrong), Line::Wrong(_)), "{wrong}");
        }
        assert!(matches!(Line::parse("/place -13.5, -71.97"), Line::Place(_)));
    }
}
