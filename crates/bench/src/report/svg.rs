//! A drawing: the few shapes that plots need, with colours for light and dark screens.
//!
//! Colours are classes with plain fills, overridden for dark screens, so that programs that know no media queries show the light ones.

use std::fmt::Write;

/// Text's height.
pub(super) const TEXT: f64 = 13.0;

/// A drawing in the making.
pub(super) struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

/// Where a text's given place is in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How many colours there are for series.
pub(super) const COLOURS: usize = 6;

/// Light and dark. Told apart by people who see red and green alike; the first is that of the floor.
const SERIES: [(&str, &str); COLOURS] = [
    ("#6e7781", "#9198a1"),
    ("#0a7d4f", "#3fcf8e"),
    ("#5ab08a", "#8fd9b6"),
    ("#b3467f", "#f08abf"),
    ("#3564b8", "#7fa8f5"),
    ("#b8741a", "#e8b15c"),
];

impl Svg {
    pub(super) fn new(title: &str, width: f64, height: f64) -> Self {
        Self { width, height, title: title.into(), body: String::new() }
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' class='{class}'>{text}</text>"
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' class='{class}'/>"
        ));
    }

    pub(super) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: usize) {
        let colour = colour % COLOURS;
        self.push(format_args!(
            "<rect x='{x:.1}' y='{y:.1}' width='{width:.1}' height='{height:.1}' rx='2' class='fill{colour}'/>"
        ));
    }

    pub(super) fn curve(&mut self, points: &[(f64, f64)], colour: usize) {
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let verb = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{x:.1} {y:.1}");
        }
        let colour = colour % COLOURS;
        self.push(format_args!("<path d='{path}' class='curve line{colour}'/>"));
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, colour: usize) {
        let colour = colour % COLOURS;
        self.push(format_args!("<circle cx='{x:.1}' cy='{y:.1}' r='3' class='fill{colour}'/>"));
    }

    fn push(&mut self, shape: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{shape}");
    }

    /// The whole, as a file of its own or as a part of a page.
    pub(super) fn finish(self) -> String {
        let Self { width, height, title, body } = self;
        let title = escape(&title);
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' class='plot' viewBox='0 0 {width:.0} {height:.0}' width='{width:.0}' \
             height='{height:.0}' role='img' aria-label='{title}'>\n<title>{title}</title>\n<style>\n{}</style>\n\
             <rect width='100%' height='100%' class='paper'/>\n{body}</svg>\n",
            style()
        )
    }
}

fn style() -> String {
    let mut style = String::from(
        ".plot text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\n\
         .plot .title{font-weight:600;font-size:15px}.plot .soft{fill:#59636e;font-size:12px}\n\
         .plot .paper{fill:#ffffff}.plot .grid{stroke:#d8dee4;stroke-width:1}.plot .axis{stroke:#59636e;stroke-width:1}\n\
         .plot .mark{stroke:#59636e;stroke-width:1;stroke-dasharray:3 3}.plot .curve{fill:none;stroke-width:2;stroke-linejoin:round}\n",
    );
    let mut dark = String::from(
        "@media (prefers-color-scheme:dark){\n.plot text{fill:#e6edf3}.plot .soft{fill:#9198a1}\n\
         .plot .paper{fill:#0d1117}.plot .grid{stroke:#2b323b}.plot .axis,.plot .mark{stroke:#9198a1}\n",
    );
    for (index, (on_light, on_dark)) in SERIES.iter().enumerate() {
        let _ =
            writeln!(style, ".plot .fill{index}{{fill:{on_light}}}.plot .line{index}{{stroke:{on_light}}}");
        let _ = writeln!(dark, ".plot .fill{index}{{fill:{on_dark}}}.plot .line{index}{{stroke:{on_dark}}}");
    }
    style + &dark + "}\n"
}

/// Text for XML and HTML, in attributes too.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&#39;"),
            '"' => escaped.push_str("&quot;"),
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_no_markup() {
        let mut svg = Svg::new("a < b & 'c'", 100.0, 50.0);
        svg.text(1.0, 2.0, Anchor::Middle, "soft", "<script>\u{7}");
        svg.curve(&[(0.0, 1.0), (2.0, 3.0)], 1);
        let text = svg.finish();
        assert!(text.contains("aria-label='a &lt; b &amp; &#39;c&#39;'"), "{text}");
        assert!(text.contains(">&lt;script&gt; </text>"), "{text}");
        assert!(text.contains("d='M0.0 1.0L2.0 3.0'"), "{text}");
        assert!(text.ends_with("</svg>\n") && !text.contains("http://www.w3.org/1999"));
    }
}
