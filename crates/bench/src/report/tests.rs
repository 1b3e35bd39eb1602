//! Whole reports from JSON.

use super::*;

const COMPARISON: &str = r#"{
  "name": "short", "taken_at": "2026-01-31 12:00 UTC", "is_short": true,
  "machine": {"cpu": "A & B", "cores": 2, "memory_bytes": 24000000000, "kernel": "Linux 6", "system": "Debian 12"},
  "servers": [
    {"name": "floor", "title": "Floor relay"}, {"name": "floor-acks", "title": "Floor with acks"}, {"name": "chaski", "title": "Chaski"}, {"name": "ejabberd", "title": "ejabberd"}
  ],
  "runs": [
    {"load": "pairs-4", "title": "1,000 pairs", "server": "floor", "report": {"figures": {"server_cpu_us_per_message": 6.0}}},
    {"load": "pairs-4", "title": "1,000 pairs", "server": "floor-acks", "report": {"figures": {"server_cpu_us_per_message": 7.5}}},
    {"load": "pairs-4", "title": "1,000 pairs", "server": "chaski", "report": {"figures": {"server_cpu_us_per_message": 9.0},
      "latencies": {"delivery": {"count": 1000, "p50_us": 900, "p90_us": 1500, "p99_us": 4000, "p999_us": 9000, "max_us": 9000}}}},
    {"load": "pairs-4", "title": "1,000 pairs", "server": "ejabberd", "report": {"figures": {"server_cpu_us_per_message": 63.0}}}
  ],
  "a_field_of_a_later_version": 1
}"#;

fn input() -> Input {
    Input::parse("x", COMPARISON).unwrap()
}

#[test]
fn ratios_are_taken_to_both_floors_and_to_the_peers() {
    let text = markdown::write(&input(), Some("plots"));
    assert!(
        text.contains(
            "| Floor relay | Floor with acks | Chaski | ejabberd | Chaski to floor | Chaski to floor with acks | ejabberd to Chaski |"
        ),
        "{text}"
    );
    assert!(
        text.contains(
            "| server CPU per message: 1,000 pairs | 6 µs | 7.5 µs | 9 µs | 63 µs | 1.5× | 1.2× | 7× |"
        ),
        "{text}"
    );
    assert!(text.contains("![Server CPU per message](plots/message.svg)"), "{text}");
    assert!(text.contains("the short version"), "{text}");
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let names: Vec<String> = plots::of(&input()).into_iter().map(|plot| plot.name).collect();
    assert_eq!(names, ["message", "latency-pairs-4"]);
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let html = page::write(&[input()]);
    assert!(html.contains("A &amp; B") && html.contains("prefers-color-scheme:dark"));
    let without_names = html.replace("xmlns='http://www.w3.org/2000/svg'", "");
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!without_names.contains(outside), "{outside}");
    }
}

#[test]
fn a_single_run_is_a_report_too() {
    let text = r#"{"scenario": "mixed", "label": "chaski", "figures": {"sessions": 5}, "series": [{"at_s": 0, "sessions": 1}, {"at_s": 1, "sessions": 5}]}"#;
    let input = Input::parse("run", text).unwrap();
    let names: Vec<String> = plots::of(&input).into_iter().map(|plot| plot.name).collect();
    assert_eq!(names, ["run-time"]);
    assert!(Input::parse("run", "[]").is_err());
}

#[test]
fn files_are_written_where_they_are_wanted() {
    let dir = std::env::temp_dir().join(format!("chaski-report-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let results = dir.join("short.json");
    fs::write(&results, COMPARISON).unwrap();
    let page = dir.join("page.md");
    fs::write(&page, "# Performance\n").unwrap();
    let options = Options {
        inputs: vec![results],
        html: Some(dir.join("report.html")),
        svg_dir: Some(dir.join("plots")),
        markdown: Some(page.clone()),
        plots_at: None,
    };
    assert_eq!(run(&options).unwrap().len(), 4);
    let once = fs::read_to_string(&page).unwrap();
    assert!(once.starts_with("# Performance\n") && once.contains("1.5×"));
    run(&options).unwrap();
    assert_eq!(fs::read_to_string(&page).unwrap(), once);
    fs::remove_dir_all(&dir).unwrap();
    assert!(run(&options).is_err());
}
