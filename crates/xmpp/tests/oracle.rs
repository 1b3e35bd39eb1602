//! Our parser against an independent one, on generated and damaged stanzas. The fuzz targets in `/fuzz` make the same
//! checks for longer.

#[path = "oracle/check.rs"]
mod check;

use check::{HEADER, check_framer, check_stanza};
use proptest::prelude::*;

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from).prop_map(str::to_owned)
}

fn attribute() -> impl Strategy<Value = String> {
    let name = pick(&[
        "to", "from", "id", "type", "xml:lang", "xmlns", "xmlns:p", "xmlns:q", "p:a", "q:a", "é", "a-1.b",
    ]);
    let value = pick(&[
        "",
        "x",
        "jabber:client",
        "urn:a",
        "a&amp;b",
        "urn&#58;a",
        "a\tb\nc",
        "\u{1F600}",
        "&#x9;",
        "'\"",
    ]);
    (name, value, prop::bool::ANY).prop_map(|(name, value, double)| {
        let quote = if double { '"' } else { '\'' };
        format!(" {name}={quote}{}{quote}", value.replace(quote, ""))
    })
}

fn text() -> impl Strategy<Value = String> {
    pick(&[
        "",
        "hello",
        " \r\n",
        "&lt;&#33;",
        "<![CDATA[<a>]]]>&amp;\r]]>",
        "日本語",
        "]]&gt;",
        "]",
        "\u{FFFD}",
        "&#13;",
    ])
}

fn element() -> impl Strategy<Value = String> {
    let name = || pick(&["message", "iq", "body", "p:x", "q:y", "xml:z", "stream:e", "ñ"]);
    let tag = move || {
        (name(), prop::collection::vec(attribute(), 0..4)).prop_map(|(name, attrs)| (name, attrs.concat()))
    };
    let leaf = (tag(), text()).prop_map(|((name, attrs), text)| match text.as_str() {
        "" => format!("<{name}{attrs}/>"),
        text => format!("<{name}{attrs} >{text}</{name}\n>"),
    });
    leaf.prop_recursive(5, 24, 5, move |inner| {
        (tag(), prop::collection::vec((inner, text()), 0..5)).prop_map(|((name, attrs), content)| {
            let content: String = content.into_iter().map(|(element, text)| element + &text).collect();
            format!("<{name}{attrs}>{content}</{name}>")
        })
    })
}

fn stanza() -> impl Strategy<Value = String> {
    let name = pick(&["message", "presence", "iq", "a"]);
    let declarations =
        pick(&["", " xmlns:p='urn:a' xmlns:q='urn:b'", " xmlns:p=\"urn&#58;a\" xmlns:q='urn:a'"]);
    (
        name,
        declarations,
        prop::collection::vec(attribute(), 0..3),
        prop::collection::vec((text(), element()), 0..4),
    )
        .prop_map(|(name, declarations, attrs, content)| {
            let content: String = content.into_iter().map(|(text, element)| text + &element).collect();
            format!("<{name}{declarations}{}>{content}</{name}>", attrs.concat())
        })
}

/// One place where bytes are taken out and others put in.
fn damage() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let bytes = prop_oneof![
        pick(&[
            "",
            "<",
            ">",
            "/",
            "'",
            "\"",
            "&",
            ";",
            "]]>",
            "<!--",
            "<?x?>",
            "<![CDATA[",
            " ",
            ":",
            "=",
            "<b/>",
            "\0"
        ])
        .prop_map(String::into_bytes),
        pick(&[
            "&#0;",
            "&nbsp;",
            "\u{FFFE}",
            "xmlns:p=''",
            "xmlns:xml='x'",
            "xmlns='http://www.w3.org/2000/xmlns/'"
        ])
        .prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..3),
    ];
    (any::<prop::sample::Index>(), 0usize..3, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn agrees_with_the_oracle(stanza in stanza()) {
        check_stanza(stanza.as_bytes());
    }

    #[test]
    fn agrees_with_the_oracle_on_damaged_stanzas(
        stanza in stanza(),
        damages in prop::collection::vec(damage(), 1..4),
        chunk in 1usize..20,
    ) {
        let mut bytes = stanza.into_bytes();
        for (place, taken, put) in damages {
            let at = place.index(bytes.len() + 1);
            let end = (at + taken).min(bytes.len());
            bytes.splice(at..end, put);
        }
        check_stanza(&bytes);
        check_framer(&[HEADER.as_bytes(), &bytes].concat(), chunk);
    }
}

#[test]
fn what_is_over_a_bound_ends_where_the_oracle_says() {
    let wide: String = (0..80).map(|n| format!(" a{n}='/>'")).collect();
    for content in [
        "<a>".repeat(300) + &"</a>".repeat(300),
        format!("<b{wide}/><![CDATA[]]]]><![CDATA[></message>]]>"),
        format!("<{0}></{0}>", "n".repeat(2000)),
        "<b xmlns='jabber:client' c='</message>' />]]&gt;".repeat(500),
    ] {
        check_stanza(format!("<message id='1'>{content}</message>").as_bytes());
    }
}

#[test]
fn generated_stanzas_are_often_accepted() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..300)
        .filter(|_| {
            let stanza = stanza().new_tree(&mut runner).unwrap().current();
            chaski_xmpp::Stanza::parse(stanza.as_bytes()).is_ok()
        })
        .count();
    assert!(accepted > 60, "{accepted} of 300: the properties test too little");
}

#[test]
fn the_fuzz_corpora_pass() {
    let corpus = |target: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/").to_owned() + target;
        let files =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.collect::<Vec<_>>()
    };
    let (stanzas, streams) = (corpus("stanza"), corpus("framer"));
    assert!(stanzas.len() > 5 && streams.len() > 5);
    for seed in stanzas {
        check_stanza(&seed);
    }
    for seed in streams {
        check_framer(&seed[1..], usize::from(seed[0]));
    }
}
