//! Data forms (XEP-0004), as far as the commands need them.

use crate::iq::xml;
use chaski_xmpp::{ElementRef, ns};

/// A field that a command asks for. All are required.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) var: &'static str,
    kind: FieldKind,
    label: &'static str,
}

/// How a client shows a field (XEP-0004 §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Jid,
    Jids,
    Private,
}

impl FieldKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Jid => "jid-single",
            Self::Jids => "jid-multi",
            Self::Private => "text-private",
        }
    }
}

impl Field {
    pub(super) const fn new(var: &'static str, kind: FieldKind, label: &'static str) -> Self {
        Self { var, kind, label }
    }
}

/// The empty form that asks for these fields.
pub(super) fn write(title: &str, fields: &[Field]) -> Vec<u8> {
    xml(|writer| {
        writer.open_ns("x", ns::DATA_FORMS).attr("type", "form").leaf("title", title);
        writer.open("field").attr("type", "hidden").attr("var", "FORM_TYPE").leaf("value", ns::ADMIN).close();
        for field in fields {
            writer
                .open("field")
                .attr("var", field.var)
                .attr("type", field.kind.as_str())
                .attr("label", field.label);
            writer.open("required").close().close();
        }
    })
}

/// A submitted form: its values by field. As large as a stanza may be at most.
#[derive(Debug, Default)]
pub(crate) struct Form {
    values: Vec<(String, String)>,
}

impl Form {
    /// Reads `<x type='submit'/>`.
    pub(crate) fn read(x: &ElementRef<'_>) -> Self {
        let mut values = Vec::new();
        for field in x.children().filter(|child| child.is("field", ns::DATA_FORMS)) {
            let Some(var) = field.attr("var") else { continue };
            for value in field.children().filter(|child| child.is("value", ns::DATA_FORMS)) {
                values.push((var.clone().into_owned(), value.text().into_owned()));
            }
        }
        Self { values }
    }

    /// The first value of the field, or "".
    pub(crate) fn one(&self, var: &str) -> &str {
        self.values.iter().find(|(name, _)| name == var).map_or("", |(_, value)| value)
    }

    /// The values of the field.
    pub(crate) fn all<'a>(&'a self, var: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(name, _)| name == var).map(|(_, value)| &**value)
    }

    /// Each field with its value; one of several values comes several times.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether each of the fields has a value, and the form is of our kind if it says a kind.
    pub(super) fn has_all(&self, fields: &[Field]) -> bool {
        self.all("FORM_TYPE").all(|kind| kind == ns::ADMIN)
            && fields.iter().all(|field| !self.one(field.var).is_empty())
    }
}
