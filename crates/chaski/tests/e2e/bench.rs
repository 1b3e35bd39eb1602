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

#[test]
fn loads_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("load").display().to_string();
    let common = ["--json", "--data", &data];
    let measure = |args: &[&str]| {
        let said = succeed(&[&["bench"], args, &common].concat());
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    let pairs = measure(&["pairs", "--pairs", "3", "--in-flight", "4", "--seconds", "1"]);
    let figures = &pairs["figures"];
    assert!(figures["delivered"].as_u64().unwrap() > 0, "{pairs}");
    assert!(figures["server_cpu_us_per_message"].as_f64().is_some(), "{pairs}");
    assert_eq!((&figures["lost"], &figures["refused"]), (&0.into(), &0.into()), "{pairs}");
    let delivery = &pairs["latencies"]["delivery"];
    assert!(delivery["max_us"].as_u64() >= delivery["p50_us"].as_u64(), "{pairs}");
    let open = measure(&["pairs", "--pairs", "3", "--rate", "300", "--seconds", "1", "--tls", "--no-sm"]);
    let per_s = open["figures"]["messages_per_s"].as_f64().unwrap();
    assert!((200.0..400.0).contains(&per_s), "{open}");
    let idle = measure(&["idle", "--sessions", "40", "--starttls", "--sasl", "plain"]);
    let options = &idle["options"];
    assert_eq!((&options["sessions"], &options["transport"]), (&40.into(), &"starttls".into()), "{idle}");
    assert_eq!(
        (&options["mechanism"], &idle["figures"]["sessions"]),
        (&"PLAIN".into(), &40.into()),
        "{idle}"
    );
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
