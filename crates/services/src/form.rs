//! Data forms that clients submit (XEP-0004): their values by field.

use chaski_xmpp::{ElementRef, ns};

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
}
