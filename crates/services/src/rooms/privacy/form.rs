//! The privacy settings as a data form (XEP-0004) of an ad-hoc command (XEP-0050), so that any client can show them.
//!
//! For each setting there is a choice and two lists of JIDs or numbers. A list without values in a submitted form becomes empty,
//! because clients leave out fields without values. But if a setting's choice is missing, the setting stays as it is, and so does
//! a list without values beside it: a client that submits only what was changed must not undo what the user hides from others.

use crate::account::settings::{Audience, Patch, RulePatch, View, What};
use crate::form::Form;
use chaski_xmpp::xml;
use chaski_xmpp::{Writer, ns};

/// The command's node, which is also the `FORM_TYPE` of its form.
pub(super) const NODE: &str = "urn:chaski:privacy:0";
/// The command's name, for people.
pub(super) const NAME: &str = "Privacy";

const INSTRUCTIONS: &str = "Who sees what of you. Your contacts are the people in your phone book, and those whom you allow \
    to see your presence. If you hide your last seen time or read marks from somebody, you do not see theirs.";

impl Audience {
    const ALL: [Self; 3] = [Self::Everyone, Self::Contacts, Self::Nobody];

    fn name(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Contacts => "contacts",
            Self::Nobody => "nobody",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Everyone => "Everyone",
            Self::Contacts => "My contacts",
            Self::Nobody => "Nobody",
        }
    }
}

/// The labels of a setting's choice and of its two lists.
fn labels(what: What) -> [&'static str; 3] {
    match what {
        What::LastSeen => ["Last seen", "Always show last seen to", "Never show last seen to"],
        What::Online => ["Online", "Always show online to", "Never show online to"],
        What::Photo => ["Profile photo", "Always show the photo to", "Never show the photo to"],
        What::Status => ["Status", "Always show the status to", "Never show the status to"],
        What::ReadMarks => ["Read marks", "Always send read marks to", "Never send read marks to"],
    }
}

/// The names of a setting's three fields.
fn vars(what: What) -> [String; 3] {
    let name = what.name();
    [name.to_owned(), format!("{name}_always"), format!("{name}_never")]
}

/// The form with the present settings.
pub(super) fn write(view: &View) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("x", ns::DATA_FORMS).attr("type", "form");
        writer.leaf("title", NAME).leaf("instructions", INSTRUCTIONS);
        writer.open("field").attr("type", "hidden").attr("var", "FORM_TYPE").leaf("value", NODE).close();
        for (what, rule) in view {
            let ([choice, always, never], labels) = (vars(*what), labels(*what));
            write_choice(writer, &choice, labels[0], rule.show);
            write_list(writer, &always, labels[1], &rule.always);
            write_list(writer, &never, labels[2], &rule.never);
        }
    })
}

fn write_choice(writer: &mut Writer<'_>, var: &str, label: &str, chosen: Audience) {
    writer.open("field").attr("type", "list-single").attr("var", var).attr("label", label);
    writer.leaf("value", chosen.name());
    for audience in Audience::ALL {
        writer.open("option").attr("label", audience.label()).leaf("value", audience.name()).close();
    }
    writer.close();
}

fn write_list(writer: &mut Writer<'_>, var: &str, label: &str, addresses: &[String]) {
    // The type is not `jid-multi`: a number alone is no JID, and some clients check that.
    writer.open("field").attr("type", "text-multi").attr("var", var).attr("label", label);
    for address in addresses {
        writer.leaf("value", address);
    }
    writer.close();
}

/// The changes in a submitted form; `None`: the form is not of this command.
pub(super) fn read(form: &Form) -> Option<Patch> {
    if form.all("FORM_TYPE").any(|kind| kind != NODE) {
        return None;
    }
    let rule = |what: What| {
        let [choice, always, never] = vars(what);
        let show = match form.one(&choice) {
            "" => None,
            name => Some(Audience::ALL.into_iter().find(|audience| audience.name() == name)?),
        };
        let list = |var: &str| {
            // Some clients put all lines of a list into one value.
            let lines = form.all(var).flat_map(str::lines).map(str::trim);
            let lines: Vec<_> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
            (show.is_some() || !lines.is_empty()).then_some(lines)
        };
        Some((what, RulePatch { show, always: list(&always), never: list(&never) }))
    };
    What::ALL.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::settings::Settings;
    use chaski_xmpp::Stanza;

    fn submitted(x: &[u8]) -> Form {
        let text = String::from_utf8(x.to_vec()).unwrap().replace("type='form'", "type='submit'");
        let iq = format!("<iq>{text}</iq>");
        let stanza = Stanza::parse(iq.as_bytes()).unwrap();
        Form::read(&stanza.children().next().unwrap())
    }

    #[test]
    fn a_form_sent_back_as_it_was_changes_nothing() {
        let mut settings = Settings::default();
        let change = RulePatch {
            show: Some(Audience::Nobody),
            always: Some(vec!["+15551230001".into(), "bot@d.example".into()]),
            never: None,
        };
        settings.apply(&Patch::from([(What::Photo, change)]), false, "d.example").unwrap();
        let patch = read(&submitted(&write(&settings.view()))).unwrap();
        let mut again = settings.clone();
        again.apply(&patch, false, "d.example").unwrap();
        assert_eq!(again, settings);
    }

    #[test]
    fn what_is_missing_or_strange() {
        let form = |fields: &str| {
            submitted(format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>").as_bytes())
        };
        let patch = read(&form("<field var='online'><value>nobody</value></field>")).unwrap();
        assert_eq!(patch[&What::Online].show, Some(Audience::Nobody));
        assert_eq!(patch[&What::Online].never.as_deref(), Some(&[][..]), "it is empty");
        assert_eq!(patch[&What::Photo], RulePatch::default(), "it stays");
        assert_eq!(read(&form("<field var='online'><value>friends</value></field>")), None);
        assert_eq!(read(&form("<field var='FORM_TYPE'><value>other</value></field>")), None);
    }
}
