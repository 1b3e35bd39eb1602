//! What a phone shows: the code first and by itself, so that clients which read it from the SMS
//! (`(?<!\d)\d{6}(?!\d)`) find it whatever digits follow, in the language that was asked for if we have it.

use super::Message;
use chaski_services::rooms::accounts::registration::{Delivery, Transport};

/// The message for a code. `service` is what the text calls the server.
pub(super) fn message(delivery: &Delivery, service: &str) -> Message {
    let language = language(delivery.locale.as_deref());
    let code = delivery.code.digits();
    let text = match delivery.transport {
        Transport::Sms => language.sms.replace("{code}", code).replace("{service}", service),
        Transport::Voice => {
            let spoken: Vec<String> = code.chars().map(String::from).collect();
            language.voice.replace("{code}", &spoken.join(", "))
        }
    };
    Message {
        phone: delivery.phone.to_string(),
        text,
        code: code.to_owned(),
        transport: delivery.transport,
        locale: delivery.locale.clone(),
    }
}

struct Language {
    tag: &'static str,
    sms: &'static str,
    voice: &'static str,
}

/// The first is for everybody else.
const LANGUAGES: &[Language] = &[
    Language {
        tag: "en",
        sms: "{code} is your code for {service}. Give it to nobody.",
        voice: "Your code is: {code}. Once more: {code}.",
    },
    Language {
        tag: "de",
        sms: "{code} ist dein Code für {service}. Gib ihn niemandem.",
        voice: "Dein Code lautet: {code}. Noch einmal: {code}.",
    },
    Language {
        tag: "es",
        sms: "{code} es tu código para {service}. No se lo des a nadie.",
        voice: "Tu código es: {code}. Otra vez: {code}.",
    },
    Language {
        tag: "fr",
        sms: "{code} est votre code pour {service}. Ne le donnez à personne.",
        voice: "Votre code est : {code}. Encore une fois : {code}.",
    },
    Language {
        tag: "it",
        sms: "{code} è il tuo codice per {service}. Non darlo a nessuno.",
        voice: "Il tuo codice è: {code}. Ancora una volta: {code}.",
    },
    Language {
        tag: "pt",
        sms: "{code} é o seu código para {service}. Não o dê a ninguém.",
        voice: "O seu código é: {code}. Mais uma vez: {code}.",
    },
];

/// By the first language of a tag (`de-AT`) or a list of them (`de-AT,de;q=0.9`, RFC 9110 §12.5.4).
fn language(locale: Option<&str>) -> &'static Language {
    let wanted = locale.unwrap_or_default().trim();
    let end = wanted.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(wanted.len());
    let primary = &wanted[..end];
    LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(primary)).unwrap_or(&LANGUAGES[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_services::account::phone::Phone;
    use chaski_services::rooms::accounts::verification::Code;

    fn text(locale: Option<&str>, transport: Transport, service: &str) -> String {
        let delivery = Delivery {
            phone: Phone::parse("+4915123456789").unwrap(),
            code: Code::fixed("012345").unwrap(),
            transport,
            locale: locale.map(str::to_owned),
        };
        message(&delivery, service).text
    }

    #[test]
    fn the_code_is_the_first_six_digits_and_stands_alone() {
        for language in LANGUAGES {
            let text = text(Some(language.tag), Transport::Sms, "chat654321.example");
            assert!(text.starts_with("012345 "), "{text}");
            assert!(text.contains("chat654321.example"), "{text}");
            assert_eq!(text.matches("012345").count(), 1);
        }
    }

    #[test]
    fn languages_by_tag() {
        let begins =
            |locale, with: &str| text(locale, Transport::Sms, "x").starts_with(&format!("012345 {with} "));
        assert!(begins(Some("de-AT"), "ist"));
        assert!(begins(Some("pt_BR"), "é"));
        assert!(begins(Some("FR,en;q=0.5"), "est"));
        for other in [None, Some(""), Some("tlh"), Some("ü"), Some("*")] {
            assert!(begins(other, "is"));
        }
    }

    #[test]
    fn a_call_spells_it() {
        assert!(text(None, Transport::Voice, "x").contains("0, 1, 2, 3, 4, 5."));
    }
}
