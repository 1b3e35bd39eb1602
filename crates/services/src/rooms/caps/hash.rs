//! The capabilities hash of an entity (XEP-0115 §5.1), computed from its `disco#info` result to verify the announced one (§5.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaski_xmpp::{ElementRef, ns};
use sha1::{Digest, Sha1};

/// How a feature ends that is an interest; only interests are remembered with a hash.
const INTEREST: &str = "+notify<";

/// The hash of a `disco#info` result, in base64. `None`: the result is ill-formed, and must not be remembered.
pub(crate) fn of(query: &ElementRef<'_>) -> Option<String> {
    let (identities, features, forms) = (sorted(query, identity)?, sorted(query, feature)?, forms(query)?);
    // The hashed text does not show where identities end and features or forms begin. So a feature could be passed off as an
    // identity or a part of a form with the same hash, and an attacker who hides interests in this way would withhold
    // notifications from all clients with this hash.
    if identities.iter().chain(&forms).any(|part| part.contains(INTEREST)) {
        return None;
    }
    let text: String = identities.into_iter().chain(features).chain(forms).collect();
    Some(STANDARD.encode(Sha1::digest(text.as_bytes())))
}

/// What `read` extracts from the children, in order; `None` if something is there twice.
fn sorted(query: &ElementRef<'_>, read: fn(&ElementRef<'_>) -> Option<String>) -> Option<Vec<String>> {
    let mut parts: Vec<_> = query.children().filter_map(|child| read(&child)).collect();
    parts.sort_unstable();
    // Duplicates, and a part that could be read as two, make the result ill-formed (§5.4).
    let is_clear = |part: &String| part.matches('<').count() == 1;
    let is_well_formed = parts.windows(2).all(|pair| pair[0] != pair[1]) && parts.iter().all(is_clear);
    is_well_formed.then_some(parts)
}

fn identity(child: &ElementRef<'_>) -> Option<String> {
    if !child.is("identity", ns::DISCO_INFO) {
        return None;
    }
    let [category, kind, name] =
        ["category", "type", "name"].map(|name| child.attr(name).unwrap_or_default());
    Some(format!("{category}/{kind}/{}/{name}<", child.lang().unwrap_or_default()))
}

fn feature(child: &ElementRef<'_>) -> Option<String> {
    let var = child.is("feature", ns::DISCO_INFO).then(|| child.attr("var"))??;
    Some(format!("{var}<"))
}

/// §5.1 step 6: forms by their type, fields by name, values in order.
fn forms(query: &ElementRef<'_>) -> Option<Vec<String>> {
    let mut forms = Vec::new();
    for x in query.children().filter(|child| child.is("x", ns::DATA_FORMS)) {
        let mut fields: Vec<_> =
            x.children().filter(|child| child.is("field", ns::DATA_FORMS)).map(|f| field(&f)).collect();
        let Some(at) = fields.iter().position(|(var, ..)| var == "FORM_TYPE") else { continue };
        let (_, hidden, types) = fields.remove(at);
        if !hidden {
            continue;
        }
        let [kind] = &types[..] else { return None };
        fields.sort_unstable();
        let mut text = format!("{kind}<");
        for (var, _, values) in fields {
            text += &format!("{var}<");
            values.iter().for_each(|value| text += &format!("{value}<"));
        }
        forms.push((kind.clone(), text));
    }
    forms.sort_unstable();
    let unique = forms.windows(2).all(|pair| pair[0].0 != pair[1].0);
    unique.then(|| forms.into_iter().map(|(_, text)| text).collect())
}

/// A field's name, whether it is hidden (or, in a result, of no type), and its values in order.
fn field(field: &ElementRef<'_>) -> (String, bool, Vec<String>) {
    let values = field.children().filter(|child| child.is("value", ns::DATA_FORMS));
    let mut values: Vec<_> = values.map(|value| value.text().into_owned()).collect();
    values.sort_unstable();
    let hidden = field.attr("type").as_deref() == Some("hidden");
    (field.attr("var").unwrap_or_default().into_owned(), hidden, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_xmpp::Stanza;

    fn hash(inner: &str) -> Option<String> {
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inner}</query>");
        of(&Stanza::parse(query.as_bytes()).unwrap().root())
    }

    #[test]
    fn the_examples_of_the_specification() {
        let features: String = ["caps", "muc", "disco#items", "disco#info"]
            .map(|name| format!("<feature var='http://jabber.org/protocol/{name}'/>"))
            .concat();
        let simple = format!("<identity category='client' type='pc' name='Exodus 0.9.1'/>{features}");
        assert_eq!(hash(&simple).as_deref(), Some("QgayPKawpkPSDYmwT/WM94uAlu0="));
        let complex = format!(
            "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
             <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>{features}\
             <x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
             <field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>\
             <field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>\
             <field var='software'><value>Psi</value></field>\
             <field var='software_version'><value>0.11</value></field></x>"
        );
        assert_eq!(hash(&complex).as_deref(), Some("q07IKJEyjvHSyhy//CH0CxmKi8w="));
    }

    #[test]
    fn interests_hidden_in_identities_or_forms_have_no_hash() {
        let identity = "<identity category='client' type='pc' name='X'/>";
        let form = |kind: &str, var: &str| {
            format!(
                "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>{kind}</value>\
                 </field><field var='{var}'/></x>"
            )
        };
        assert!(hash(&format!("{identity}<feature var='urn:a'/>{}", form("b", "c"))).is_some());
        // All of these would read like the honest `client/pc//X<http://j/p/nick+notify<urn:a+notify<`.
        for poison in [
            format!("{identity}<feature var='http://j/p/nick+notify'/>{}", form("urn:a+notify", "v")),
            format!("{identity}<feature var='http://j/p/nick'/>{}", form("k", "urn:a+notify")),
            format!(
                "{identity}<identity category='http:' type='' name='p/nick+notify' xml:lang='j'/>\
                 <feature var='urn:a+notify'/>"
            ),
        ] {
            assert_eq!(hash(&poison), None, "{poison}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_hash() {
        for ill_formed in [
            "<feature var='a'/><feature var='a'/>",
            "<feature var='a&lt;b'/>",
            "<identity category='c' type='t'/><identity category='c' type='t'/>",
        ] {
            assert_eq!(hash(ill_formed), None, "{ill_formed}");
        }
    }
}
