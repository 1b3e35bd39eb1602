//! Mistakes in the file, and the printed file against the defaults.

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::from_toml("chaski.toml", text, &Overrides::default()).map_err(|e| e.to_string())
}

#[test]
fn the_printed_file_is_the_defaults() {
    assert_eq!(parse(DEFAULT_TOML).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn each_key_has_a_comment_above_or_in_its_block() {
    let lines: Vec<&str> = DEFAULT_TOML.lines().collect();
    for block in DEFAULT_TOML.split("\n\n") {
        let keys = block.lines().any(|line| line.contains(" = "));
        let comments = block.lines().any(|line| line.starts_with('#'));
        assert!(!keys || comments || block.contains("5223"), "no comment in:\n{block}");
    }
    assert!(lines.len() > 60);
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_right_name() {
    let error = parse("domain = \"a.example\"\n\n[http]\nlistn = \"127.0.0.1:1\"\n").unwrap_err();
    assert_eq!(error, "chaski.toml: line 4: unknown key \"listn\" in [http]; did you mean \"listen\"?");
    let error = parse("domian = \"a.example\"\n").unwrap_err();
    assert_eq!(error, "chaski.toml: line 1: unknown key \"domian\"; did you mean \"domain\"?");
    let error = parse("[[c2s]]\nlisten = \"127.0.0.1:1\"\n[[c2s]]\ntsl = \"direct\"\n").unwrap_err();
    assert_eq!(error, "chaski.toml: line 4: unknown key \"tsl\" in [[c2s]]; did you mean \"tls\"?");
    let error = parse("[htpp]\n").unwrap_err();
    assert_eq!(error, "chaski.toml: line 1: unknown section [htpp]; did you mean [http]?");
    let error = parse("[log]\ncolour_of_the_walls = 1\n").unwrap_err();
    assert_eq!(
        error,
        "chaski.toml: line 2: unknown key \"colour_of_the_walls\" in [log]; it takes \"format\", \"level\""
    );
}

#[test]
fn values_of_the_wrong_kind_name_their_line() {
    let cases = [
        ("[http]\nlisten = \"here\"\n", "line 2: \"here\" is not an address and port"),
        ("shards = \"two\"\n", "line 1: invalid type"),
        ("domain = \"x.example\"\n[[c2s]]\ntls = \"maybe\"\n", "line 3: unknown variant `maybe`"),
        ("[limits\n", "line 1:"),
        ("[http]\n[http]\n", "line 2: duplicate key"),
        ("c2s = 1\n", "line 1: c2s must be written as [[c2s]]"),
        ("http = 1\n", "line 1: http must be written as [http]"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("chaski.toml: ") && error.contains(expected), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn values_that_make_no_sense_name_their_line() {
    let cases = [
        ("domain = \"has space\"\n", "line 1: domain"),
        (
            "[[c2s]]\nlisten = \"0.0.0.0:5222\"\ntls = \"terminated\"\n",
            "line 2: \"terminated\" on 0.0.0.0:5222",
        ),
        ("[tls]\ncertificate = \"a.pem\"\n", "line 2: tls.certificate needs tls.key"),
        ("[limits]\nstanza_bytes = 100\n", "line 2: limits.stanza_bytes"),
        ("admins = [\"nobody\"]\n", "line 1: \"nobody\""),
        ("admins = [\"+15551230001@localhost\"]\n", "is a phone number"),
        ("[sms]\ngateway = \"webhook\"\n", "line 2: sms.gateway \"webhook\" needs sms.url"),
        ("[registration]\ncountries = [\"DE\"]\n", "line 2: \"DE\""),
        ("[registration]\nnumber_messages = 25\n", "line 2: registration.number_messages must be more than"),
        ("[registration]\nlock_pins = 0\n", "line 2: registration.lock_pins must lie"),
        ("[sms]\ncountry_prices = { DE = 1 }\n", "line 2: \"DE\" in sms.country_prices"),
        ("[sms]\ncountry_prices = { 49 = -1 }\n", "line 2: sms.country_prices: a price"),
        ("[http]\nweb_origins = [\"*\"]\n", "line 2: \"*\" in http.web_origins"),
        ("[sms]\nprice = nan\n", "line 2: sms.price: a price"),
        ("[sms]\nbudget_per_hour = 2\nprice = 3\n", "line 3: sms.price: a price"),
        ("[sms]\ncountry_budgets_per_hour = { 49 = 0 }\n", "line 2: sms.country_budgets_per_hour"),
        ("[http]\nlisten = \"127.0.0.1:5222\"\n", "line 2: http.listen"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn terminated_on_a_public_address_can_be_forced() {
    let config = parse("[[c2s]]\nlisten = \"0.0.0.0:5222\"\ntls = \"terminated\"\nforce = true\n").unwrap();
    assert_eq!(config.c2s.len(), 1);
}

#[test]
fn the_command_line_wins() {
    let overrides = Overrides { data: Some("/var/lib/chaski".into()), domain: Some("Chat.Example".into()) };
    let config = Config::from_toml("f", "domain = \"x.example\"", &overrides).unwrap();
    assert_eq!((config.domain.as_str(), config.data.to_str().unwrap()), ("chat.example", "/var/lib/chaski"));
    let error = Config::load(None, &Overrides { domain: Some("a b".into()), data: None }).unwrap_err();
    assert!(error.to_string().starts_with("--domain: "), "{error}");
}

#[test]
fn relays_for_calls_are_checked() {
    let with = |lines: &str| parse(&format!("[calls]\n{lines}"));
    let right =
        with("relays = [\"stun:a.example\", \"turns:a.example:443\"]\nsecret = \"sixteen letters!\"\n")
            .unwrap();
    assert_eq!(right.calls.relays.len(), 2);
    assert!(with("relays = [\"stun:a.example\"]\n").is_ok(), "which wants no login");
    for (lines, expected) in [
        ("relays = [\"a.example\"]\n", "line 2: \"a.example\" in calls.relays is not such as \"stun:"),
        (
            "relays = [\"turn:a.example\"]\n",
            "line 1: \"turn\" and \"turns\" in calls.relays need calls.secret",
        ),
        ("relays = [\"turn:a.example\"]\nsecret = \"short\"\n", "line 3: \"turn\" and"),
        ("login_minutes = 1\n", "line 2: calls.login_minutes must lie between 5 and 1440"),
        ("relais = []\n", "did you mean \"relays\"?"),
    ] {
        let error = with(lines).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn knobs_are_checked_and_the_printed_file_has_them_all() {
    let with = |lines: &str| parse(&format!("[knobs]\n{lines}"));
    assert_eq!(with("\"roster.items\" = 3000\n").unwrap().knobs["roster.items"], 3_000);
    for (lines, expected) in [
        ("\"roster.items\" = 0\n", "line 2: in [knobs], \"roster.items\" can be from 1 to 100000, not 0"),
        ("\"roster.item\" = 1\n", "did you mean \"roster.items\"?"),
        ("\"roster.items\" = -1\n", "line 2"),
    ] {
        let error = with(lines).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
    }
    let printed = parse(DEFAULT_TOML).unwrap();
    assert_eq!(printed.knobs, Config::default().knobs);
}
