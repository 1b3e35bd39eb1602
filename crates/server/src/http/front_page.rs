//! The page at `/`, for a person with a phone: what this is, which apps there are, how to register, in the browser's language.
//!
//! Owns the page (`front_page/page.html`), its texts (one TOML file per language beside it) and, with a development
//! certificate, the authority's certificate for download. Called by the public listener. Nothing is loaded from elsewhere, and the
//! page's policy forbids it.
//!
//! Promise: whatever a request says is escaped; the languages have the same texts, as a test shows.

use super::hostmeta::is_plain;
use super::{Arrival, Protection};
use axum::Router;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use qrcode::QrCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const PAGE: &str = include_str!("front_page/page.html");
const STYLE: &str = include_str!("front_page/style.css");
const SCRIPT: &str = include_str!("front_page/register.js");
const DOCS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs");
/// The first is for everybody else.
const LANGUAGES: [(&str, &str); 3] = [
    ("en", include_str!("front_page/en.toml")),
    ("de", include_str!("front_page/de.toml")),
    ("es", include_str!("front_page/es.toml")),
];

/// What the page says of the server.
#[derive(Debug, Clone)]
pub struct About {
    /// Its domain.
    pub domain: String,
    /// Where browsers find it; empty: as the request says.
    pub public_url: String,
    /// The development authority's certificate, PEM.
    pub ca: Option<Vec<u8>>,
    /// Whether anybody may register.
    pub registration: bool,
}

/// See the module.
#[derive(Debug)]
pub struct FrontPage {
    about: About,
    terminated: bool,
    languages: Vec<(&'static str, BTreeMap<String, String>)>,
    policy: String,
    /// The code drawn last, and of what: nearly all ask under one name, and drawing takes longer than all else here.
    drawn: Mutex<(String, String)>,
}

#[derive(Deserialize)]
struct Wish {
    lang: Option<String>,
}

impl FrontPage {
    /// For a listener protected in this way.
    pub fn new(about: About, protection: &Protection) -> Arc<Self> {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        let policy = format!(
            "default-src 'none'; connect-src 'self'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        let languages = LANGUAGES.map(|(tag, text)| (tag, texts(text))).into();
        let terminated = matches!(protection, Protection::Terminated);
        Arc::new(Self { about, terminated, languages, policy, drawn: Mutex::default() })
    }

    /// `/`, and `/ca.pem` if there is one.
    pub fn routes(self: Arc<Self>) -> Router {
        let has_ca = self.about.ca.is_some();
        let routes = Router::new().route("/", get(page));
        if has_ca { routes.route("/ca.pem", get(ca)) } else { routes }.with_state(self)
    }

    /// The URL of this page, as whoever asks has it.
    fn url(&self, headers: &HeaderMap, arrival: Arrival) -> String {
        if !self.about.public_url.is_empty() {
            return self.about.public_url.trim_end_matches('/').to_owned();
        }
        let host =
            headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
        let scheme = if arrival.tls || self.terminated { "https" } else { "http" };
        format!("{scheme}://{}", host.unwrap_or(&self.about.domain))
    }

    fn qr(&self, url: &str) -> String {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.0 != url {
            *drawn = (url.to_owned(), qr(url));
        }
        drawn.1.clone()
    }

    fn render(&self, language: usize, url: &str) -> String {
        let (tag, texts) = &self.languages[language];
        let others = self.languages.iter().filter(|(other, _)| other != tag);
        let others: Vec<String> = others
            .map(|(other, texts)| {
                format!("<a hreflang='{other}' lang='{other}' href='/?lang={other}'>{}</a>", texts["name"])
            })
            .collect();
        let fingerprint = self.about.ca.as_deref().map(fingerprint).unwrap_or_default();
        let values = [
            ("domain", escape(&self.about.domain)),
            ("url", escape(url)),
            ("qr", self.qr(url)),
            ("lang", (*tag).to_owned()),
            ("languages", others.join(" ")),
            ("docs", DOCS.to_owned()),
            ("fingerprint", fingerprint),
            ("style", STYLE.to_owned()),
            ("script", SCRIPT.to_owned()),
        ];
        let mut page = part(PAGE, "development", self.about.ca.is_some());
        page = part(&page, "open", self.about.registration);
        page = part(&page, "closed", !self.about.registration);
        for (name, text) in texts {
            page = page.replace(&format!("{{t:{name}}}"), text);
        }
        values.iter().fold(page, |page, (name, value)| page.replace(&format!("{{{name}}}"), value))
    }
}

async fn page(
    State(page): State<Arc<FrontPage>>,
    Extension(arrival): Extension<Arrival>,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
) -> Response {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = choose(wish.lang.as_deref(), accepted.unwrap_or_default());
    let url = page.url(&headers, arrival);
    let about = [
        (header::CONTENT_LANGUAGE, LANGUAGES[language].0.to_owned()),
        (header::VARY, "accept-language".to_owned()),
        (header::CONTENT_SECURITY_POLICY, page.policy.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (about, Html(page.render(language, &url))).into_response()
}

async fn ca(State(page): State<Arc<FrontPage>>) -> Response {
    let Some(ca) = page.about.ca.clone() else { return StatusCode::NOT_FOUND.into_response() };
    ([(header::CONTENT_TYPE, "application/x-x509-ca-cert")], ca).into_response()
}

fn texts(toml: &str) -> BTreeMap<String, String> {
    toml::from_str(toml).expect("the texts are tables of strings, as a test shows")
}

/// Which of the languages: the one asked for, else the best of those accepted (RFC 9110 §12.5.4), else the first.
fn choose(wanted: Option<&str>, accepted: &str) -> usize {
    let find = |tag: &str| {
        let primary = tag.split('-').next().unwrap_or(tag).trim();
        LANGUAGES.iter().position(|(known, _)| known.eq_ignore_ascii_case(primary))
    };
    if let Some(language) = wanted.and_then(find) {
        return language;
    }
    let weighed = accepted.split(',').take(20).filter_map(|range| {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight =
            parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok())?;
        find(tag).filter(|_| weight > 0.0).map(|language| (language, weight))
    });
    // Of equal ones the first.
    weighed.fold((0, 0.0), |best, next| if next.1 > best.1 { next } else { best }).0
}

/// The text between `<!--name-->` and `<!--/name-->` stays or goes.
fn part(page: &str, name: &str, stays: bool) -> String {
    let (begin, end) = (format!("<!--{name}-->"), format!("<!--/{name}-->"));
    let mut rest = page;
    let mut shown = String::with_capacity(page.len());
    while let Some((before, after)) = rest.split_once(begin.as_str()) {
        let (inside, after) = after.split_once(end.as_str()).unwrap_or((after, ""));
        shown.push_str(before);
        if stays {
            shown.push_str(inside);
        }
        rest = after;
    }
    shown + rest
}

/// As an SVG drawing, dark on light whatever the page's colours: readers want it so.
fn qr(text: &str) -> String {
    let Ok(code) = QrCode::new(text.as_bytes()) else { return String::new() };
    let (width, mut path) = (code.width(), String::new());
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == qrcode::Color::Dark {
            path.push_str(&format!("M{},{}h1v1h-1z", at % width + 4, at / width + 4));
        }
    }
    let side = width + 8;
    format!(
        "<svg class='qr' role='img' viewBox='0 0 {side} {side}' shape-rendering='crispEdges'>\
         <rect width='{side}' height='{side}' fill='#fff'/><path fill='#000' d='{path}'/></svg>"
    )
}

/// SHA-256 of the certificate, as browsers and phones show it.
fn fingerprint(pem: &[u8]) -> String {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let Ok(der) = CertificateDer::from_pem_slice(pem) else { return String::new() };
    let bytes: Vec<String> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front_page(about: About) -> Arc<FrontPage> {
        FrontPage::new(about, &Protection::Plain)
    }

    fn about() -> About {
        About { domain: "chat.example".into(), public_url: String::new(), ca: None, registration: true }
    }

    #[test]
    fn all_languages_have_all_texts_and_all_are_used() {
        let english: Vec<String> = texts(LANGUAGES[0].1).into_keys().collect();
        for (tag, text) in LANGUAGES {
            let texts = texts(text);
            assert_eq!(texts.keys().cloned().collect::<Vec<_>>(), english, "{tag}");
            assert!(texts.values().all(|text| !text.trim().is_empty()), "{tag}");
        }
        for name in english.iter().filter(|name| *name != "name") {
            assert!(PAGE.contains(&format!("{{t:{name}}}")), "{name} is not used");
        }
        for (language, registration) in [(0, true), (1, false), (2, true)] {
            let page = front_page(About { registration, ca: Some(b"x".to_vec()), ..about() });
            let html = page.render(language, "https://chat.example");
            assert!(!html.contains("{t:") && !html.contains("<!--"), "{html}");
        }
    }

    #[test]
    fn the_language_is_the_browsers() {
        for (wanted, accepted, expected) in [
            (None, "", "en"),
            (None, "de-AT,de;q=0.9,en;q=0.8", "de"),
            (None, "fr,es;q=0.5,de;q=0.7", "de"),
            (None, "de;q=0,es;q=0.1", "es"),
            (None, "*", "en"),
            (None, "es;q=x,de;q=0.1", "de"),
            (Some("es"), "de", "es"),
            (Some("tlh"), "de", "de"),
        ] {
            assert_eq!(LANGUAGES[choose(wanted, accepted)].0, expected, "{wanted:?} {accepted}");
        }
    }

    #[test]
    fn parts_are_shown_where_they_apply() {
        let shown = front_page(about()).render(0, "https://chat.example");
        assert!(!shown.contains("/ca.pem") && shown.contains("id=\"begin\""), "{shown}");
        let development = front_page(About { ca: Some(Vec::new()), registration: false, ..about() });
        let shown = development.render(0, "https://chat.example");
        assert!(shown.contains("/ca.pem") && !shown.contains("id=\"begin\""), "{shown}");
    }

    #[test]
    fn what_a_request_says_is_escaped() {
        let mut headers = HeaderMap::new();
        let arrival = Arrival { tls: true, protected: true };
        let page = front_page(about());
        headers.insert(header::HOST, "a.example:8080".parse().unwrap());
        assert_eq!(page.url(&headers, arrival), "https://a.example:8080");
        headers.insert(header::HOST, "\"><script>".parse().unwrap());
        assert_eq!(page.url(&headers, arrival), "https://chat.example");
        assert!(!page.render(0, "<script>alert(1)").contains("<script>alert"));
    }
}
