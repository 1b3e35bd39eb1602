//! The whole as one page of HTML that needs nothing else.

use super::comparison::Input;
use super::markdown::{self, Table};
use super::plots;
use super::svg::escape;
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;\
background:#fff;color:#1f2328}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}\
th,td{text-align:right;padding:.35rem .7rem;border-bottom:1px solid #d8dee4;vertical-align:top}\
td+td{white-space:nowrap}.words td+td{white-space:normal}\
th:first-child,td:first-child,.words td,.words th{text-align:left}\
figure{margin:1.5rem 0}svg{max-width:100%;height:auto}\
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#2b323b}}";

/// Writes it.
pub(super) fn write(inputs: &[Input]) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n<meta name='viewport' content='width=device-width'>\n\
         <title>Chaski: measurements</title>\n<style>{STYLE}</style>\n<h1>Measurements</h1>\n"
    );
    for input in inputs {
        match input {
            Input::Comparison(comparison) => {
                let _ = writeln!(
                    html,
                    "<h2>Side by side</h2>\n<p>{}</p>",
                    escape(&markdown::provenance(comparison))
                );
                table(&mut html, &markdown::figures(comparison), "");
                draw(&mut html, input);
                table(&mut html, &markdown::settings(comparison), "words");
                for complaint in &comparison.complaints {
                    let _ = writeln!(html, "<p>{}</p>", escape(complaint));
                }
            }
            Input::Run(name, report) => {
                let _ = writeln!(html, "<h2>{}</h2>", escape(name));
                table(&mut html, &markdown::run(report), "");
                draw(&mut html, input);
                for complaint in &report.complaints {
                    let _ = writeln!(html, "<p>{}</p>", escape(complaint));
                }
            }
        }
    }
    html + "</html>\n"
}

fn draw(html: &mut String, input: &Input) {
    for plot in plots::of(input) {
        let _ = writeln!(html, "<figure>{}</figure>", plot.svg);
    }
}

fn table(html: &mut String, table: &Table, class: &str) {
    let _ = writeln!(html, "<div class='wide'><table class='{class}'>");
    for (index, row) in table.iter().enumerate() {
        let tag = if index == 0 { "th" } else { "td" };
        let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        let _ = writeln!(html, "<tr>{cells}</tr>");
    }
    html.push_str("</table></div>\n");
}
