//! Data forms (XEP-0004), as far as the commands need them.

use crate::form::Form;
use chaski_xmpp::ns;
use chaski_xmpp::xml;

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

/// Whether each of the fields has a value, and the form is of our kind if it says a kind.
pub(super) fn has_all(form: &Form, fields: &[Field]) -> bool {
    form.all("FORM_TYPE").all(|kind| kind == ns::ADMIN)
        && fields.iter().all(|field| !form.one(field.var).is_empty())
}
