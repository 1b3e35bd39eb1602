//! What a typed line means.

use crate::place::Place;

/// What `/help` says.
const HELP: &str = "\
+NUMBER text     send a text to a number, which becomes the partner
text             send a text to the partner
/quit            stop when everything is accepted
/help TOPIC      more about: sending, people, marks, keys";

const TOPICS: [(&str, &str); 4] = [
    (
        "sending",
        "\
+NUMBER text     send a text to a number, which becomes the partner
text             send a text to the partner (begin with // to send a text that begins with /)
/to WHO          make a number, a name of the phone book, or user@domain the partner
/file PATH       upload a picture, a voice note or any other file, and send it
/link URL        send a link to a file that is somewhere already
/get N           fetch file N of those that were shared here
/place LAT,LON   send a location
What is typed without a connection waits, and goes out with the next one.",
    ),
    (
        "people",
        "\
/who             who is in the phone book, and who of them is here
/name NAME       give the partner a name, which is shown instead of the number
/name +NUMBER NAME
/to NAME         talk to somebody by that name",
    ),
    (
        "marks",
        "\
✓                accepted: the server keeps it until the other phone has it
✓✓               delivered: it is on their device
✓✓ read          they have seen it
✗                not delivered, and why",
    ),
    (
        "keys",
        "\
The key that registering gave stands in a file that only you can read, and logs in the next time.
chaski chat +NUMBER --register gets a new one by a new code, and logs the number's other devices out.
NO_COLOR=1 in the environment keeps this program from using colours.",
    ),
];

/// The help on a topic, or in general.
pub fn help(topic: &str) -> String {
    let topic = topic.trim().trim_start_matches('/').to_lowercase();
    let known = TOPICS.iter().find(|(name, _)| *name == topic);
    match known {
        _ if topic.is_empty() => HELP.to_owned(),
        Some((_, text)) => (*text).to_owned(),
        None => {
            format!("There is no help on that; there is on: {}.", TOPICS.map(|(name, _)| name).join(", "))
        }
    }
}

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
    /// Upload a file and send it.
    File(String),
    /// Fetch the file with this number.
    Get(usize),
    /// Send a location.
    Place(Place),
    /// Give somebody, or the partner, a name.
    Name(Option<String>, String),
    /// Show who is there.
    Who,
    /// Show the help on a topic, or in general.
    Help(String),
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
            "to" if rest.is_empty() => Self::Wrong("to whom? Type /to +NUMBER, or /to NAME".into()),
            "to" => Self::To(number(rest).unwrap_or_else(|| rest.to_owned()), None),
            "link" if rest.contains(':') && !rest.contains(char::is_whitespace) => {
                Self::Link(rest.to_owned())
            }
            "link" => Self::Wrong("that is no link. Type /link https://…".into()),
            "file" if rest.is_empty() => Self::Wrong("which file? Type /file and its path".into()),
            "file" => Self::File(rest.to_owned()),
            "get" => rest.trim_start_matches('#').parse().map_or_else(
                |_| Self::Wrong("which file? Type /get and the number that stands behind it".into()),
                Self::Get,
            ),
            "place" => Place::parse(rest)
                .map_or_else(|| Self::Wrong("that is no place. Type /place 52.52,13.40".into()), Self::Place),
            "name" => Self::name(rest),
            "who" => Self::Who,
            "help" | "?" => Self::Help(rest.to_owned()),
            "quit" | "exit" | "q" => Self::Quit,
            _ => Self::Wrong(format!("there is no command /{name}; /help lists them")),
        }
    }
}

impl Line {
    fn name(rest: &str) -> Self {
        let (first, name) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match number(first) {
            _ if rest.is_empty() => Self::Wrong("which name? Type /name NAME, or /name +NUMBER NAME".into()),
            Some(_) if name.trim().is_empty() => Self::Wrong("which name? Type /name +NUMBER NAME".into()),
            Some(number) => Self::Name(Some(number), name.trim().to_owned()),
            None => Self::Name(None, rest.to_owned()),
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
    fn each_topic_that_is_named_has_its_help() {
        let general = help("");
        let named = general.lines().last().unwrap().rsplit_once(": ").unwrap().1;
        for topic in named.split(", ") {
            assert_ne!(help(topic), help("nonsense"), "{topic}");
        }
        assert!(help("nonsense").contains(named));
    }

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
        assert_eq!(Line::parse("/file ~/a b.jpg"), Line::File("~/a b.jpg".into()));
        assert_eq!((Line::parse("/get 2"), Line::parse("/get #2")), (Line::Get(2), Line::Get(2)));
        assert_eq!((Line::parse("/who"), Line::parse("/quit")), (Line::Who, Line::Quit));
        assert_eq!(Line::parse("/help marks"), Line::Help("marks".into()));
        assert_eq!(Line::parse("/name Ann Lee"), Line::Name(None, "Ann Lee".into()));
        let named = Line::Name(Some("+15550100002".into()), "Ben".into());
        assert_eq!(Line::parse("/name +15550100002 Ben"), named);
        for wrong in [
            "/file",
            "/get",
            "/get x",
            "/get -1",
            "/name",
            "/name +15550100002",
            "/to",
            "/link x y",
            "/place here",
            "/place 91,0",
            "/dance",
        ] {
            assert!(matches!(Line::parse(wrong), Line::Wrong(_)), "{wrong}");
        }
        assert!(matches!(Line::parse("/place -13.5, -71.97"), Line::Place(_)));
    }
}
