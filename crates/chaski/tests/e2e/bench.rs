//! `chaski bench` against the real server, in small.

use crate::server::{chaski, fail, succeed};

/// The whole, a hundred kills, is `chaski bench crash --data DIR`.
#[test]
fn nothing_accepted_is_lost_when_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("crash").display().to_string();
    let args =
        ["bench", "crash", "--json", "--kills", "6", "--rate", "60", "--uptime-ms", "800", "--data", &data];
    let output = chaski(&args);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["violations_total"], 0, "{report}");
    assert!(report["delivered"].as_u64().unwrap() > 0, "{report}");
}

/// What a load says against a server of its own.
pub(crate) fn measure(args: &[&str]) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("load").display().to_string();
    let said = succeed(&[&["bench"], args, &["--json", "--data", &data]].concat());
    serde_json::from_str(&said).unwrap()
}

#[test]
fn a_closed_loop_is_measured() {
    let pairs = measure(&["pairs", "--pairs", "3", "--in-flight", "4", "--seconds", "1"]);
    let figures = &pairs["figures"];
    assert!(figures["delivered"].as_u64().unwrap() > 0, "{pairs}");
    assert!(figures["server_cpu_us_per_message"].as_f64().is_some(), "{pairs}");
    assert_eq!((&figures["lost"], &figures["refused"]), (&0.into(), &0.into()), "{pairs}");
    let delivery = &pairs["latencies"]["delivery"];
    assert!(delivery["max_us"].as_u64() >= delivery["p50_us"].as_u64(), "{pairs}");
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let open = measure(&["pairs", "--pairs", "3", "--rate", "300", "--seconds", "1", "--tls", "--no-sm"]);
    let figures = &open["figures"];
    // What is sent follows the clock's intended times, and the run is not over before all has arrived.
    assert!(figures["sent"].as_u64().unwrap() >= 250, "{open}");
    assert_eq!((&figures["lost"], &figures["accepted"]), (&0.into(), &serde_json::Value::Null), "{open}");
}

#[test]
fn idle_sessions_are_measured() {
    let idle = measure(&["idle", "--sessions", "40", "--starttls", "--sasl", "plain"]);
    let options = &idle["options"];
    assert_eq!((&options["sessions"], &options["transport"]), (&40.into(), &"starttls".into()), "{idle}");
    assert_eq!(
        (&options["mechanism"], &idle["figures"]["sessions"]),
        (&"PLAIN".into(), &40.into()),
        "{idle}"
    );
    assert!(!idle["series"].as_array().unwrap().is_empty(), "{idle}");
}

#[test]
fn everybody_comes_back_and_nothing_is_lost() {
    for more in [&["--tls"][..], &["--no-resume"]] {
        let login = measure(
            &[&["login", "--sessions", "30", "--stay", "4", "--rate", "60", "--seconds", "1"], more].concat(),
        );
        let figures = &login["figures"];
        assert!(figures["recovery_s"].as_f64().is_some(), "{login}");
        let resumed = if more == ["--tls"] { 30 } else { 0 };
        assert_eq!((&figures["resumed"], &figures["lost"]), (&resumed.into(), &0.into()), "{login}");
        assert_eq!(figures["logins"], 64, "{login}");
        assert!(login["latencies"]["delivery_after"]["count"].as_u64().unwrap() > 0, "{login}");
    }
}

#[test]
fn presence_is_told_to_all_contacts() {
    let presence =
        measure(&["presence", "--accounts", "8", "--contacts", "4", "--rate", "50", "--seconds", "1"]);
    let figures = &presence["figures"];
    let count = |name: &str| figures[name].as_u64().unwrap();
    assert!(count("presence_sent") >= 40, "{presence}");
    // To four contacts and the sender itself; at the borders of the measured time one may be counted and the other not.
    let told = count("presence_sent") * 5;
    assert!(count("presence_delivered").abs_diff(told) <= 25, "{presence}");
    assert!(figures["server_cpu_us_per_presence"].as_f64().is_some(), "{presence}");
    assert!(presence["latencies"]["presence"]["count"].as_u64().unwrap() > 0, "{presence}");
    assert_eq!(presence["complaints"], serde_json::json!([]));
}

#[test]
fn a_mixed_load_keeps_its_rates() {
    let mixed =
        measure(&["mixed", "--sessions", "30", "--rate", "100", "--logins", "10", "--seconds", "1", "--tls"]);
    let figures = &mixed["figures"];
    assert!(figures["deliveries"].as_u64() > figures["delivered"].as_u64(), "{mixed}");
    assert!(figures["logins"].as_u64().unwrap() > 40 && figures["lost"] == 0, "{mixed}");
}

#[test]
fn a_burst_is_delivered_in_the_end() {
    let args =
        ["--rate", "3000", "--seconds", "1", "--rest", "1", "--normal-rate", "50", "--normal-seconds", "1"];
    let overload = measure(&[&["overload", "--pairs", "3"], &args[..]].concat());
    assert_eq!(overload["figures"]["lost"], 0, "{overload}");
    assert!(overload["latencies"]["delivery_after"]["count"].as_u64().unwrap() > 0, "{overload}");
}

#[test]
fn others_are_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let complaint = fail(&["bench", "pairs", "--server", "192.0.2.1:5222"]);
    assert!(complaint.contains("--i-own-this-server"), "{complaint}");
    std::fs::write(dir.path().join("mine"), "precious").unwrap();
    let complaint = fail(&["bench", "crash", "--data", &dir.path().display().to_string()]);
    assert!(complaint.contains("empty directory"), "{complaint}");
    assert!(dir.path().join("mine").exists());
}

/// What time tells is a command's to judge, with more probes: `chaski bench oracle`.
#[test]
fn every_way_of_asking_is_asked_and_none_tells_in_bytes() {
    let oracle = measure(&["oracle", "--probes", "60", "--accounts", "20", "--untimed"]);
    assert_eq!(oracle["complaints"], serde_json::json!([]), "{oracle}");
    let ways = oracle["ways"].as_array().unwrap();
    assert!(
        ways.len() > 20 && ways.iter().all(|way| way["probes"] == 60 && way["is_same"] == true),
        "{oracle}"
    );
}

/// Too short to say anything of latencies, which are a command's to judge: `chaski bench hostile`.
#[test]
fn neighbours_are_served_whatever_one_account_or_one_address_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let plot = dir.path().join("hostile.html").display().to_string();
    let hostile = measure(&[
        "hostile",
        "--plot",
        &plot,
        "--pairs",
        "10",
        "--rate",
        "50",
        "--visits",
        "4",
        "--seconds",
        "4",
        "--shards",
        "2",
    ]);
    assert_eq!(hostile["complaints"], serde_json::json!([]), "{hostile}");
    for part in ["idle", "account", "network"] {
        for what in ["delivery", "visit"] {
            let count = hostile["latencies"][format!("{what}_{part}")]["count"].as_u64();
            assert!(count > Some(5), "{what} {part}: {hostile}");
        }
    }
    let page = std::fs::read_to_string(plot).expect("the page is written");
    for panel in ["latency, median", "latency, 99th percentile", "resident memory", "files on disk"] {
        assert!(page.contains(panel), "{panel}");
    }
}
