//! Plots and tables of runs: what `chaski bench report` does.
//!
//! Reads what `chaski bench … --json` printed ([`crate::result::Report`]) and what `bench/compare` collected ([`comparison`]), and writes
//! one page of HTML, single SVG files, and Markdown between two markers of a page. All of it is drawn here, needs nothing from
//! elsewhere, and can be read on a light and on a dark screen.
//!
//! Called by: the binary and `bench/compare`. Promises: the same input makes the same output, byte for byte.

use crate::error::BenchError;
use crate::result::Report;
use comparison::Input;
use std::fs;
use std::path::{Path, PathBuf};

mod amount;
mod bars;
pub mod comparison;
mod curves;
mod markdown;
mod measures;
mod page;
mod plots;
mod scale;
mod series;
mod svg;

/// Most bytes of one input: a run of hours has some megabytes.
const INPUT_BYTES_MAX: u64 = 256 << 20;

/// What to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// JSON of runs and comparisons.
    pub inputs: Vec<PathBuf>,
    /// Where the page goes.
    pub html: Option<PathBuf>,
    /// Where the plots go, one file each.
    pub svg_dir: Option<PathBuf>,
    /// A page whose part between the markers is replaced; it is made if it is not there.
    pub markdown: Option<PathBuf>,
    /// The plots' directory as the Markdown page names it; without it, no plots there.
    pub plots_at: Option<String>,
}

/// Does it; the files written.
pub fn run(options: &Options) -> Result<Vec<PathBuf>, BenchError> {
    if options.inputs.is_empty() {
        return Err(BenchError::Refused("name at least one file of results".into()));
    }
    let inputs = options.inputs.iter().map(|path| read(path)).collect::<Result<Vec<Input>, _>>()?;
    let mut written = Vec::new();
    let mut write = |path: PathBuf, text: &str| {
        let what = format!("can't write {}", path.display());
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(BenchError::io(what.clone()))?;
        }
        fs::write(&path, text).map_err(BenchError::io(what))?;
        written.push(path);
        Ok::<_, BenchError>(())
    };
    if let Some(dir) = &options.svg_dir {
        for plot in inputs.iter().flat_map(plots::of) {
            write(dir.join(format!("{}.svg", plot.name)), &plot.svg)?;
        }
    }
    if let Some(html) = &options.html {
        write(html.clone(), &page::write(&inputs))?;
    }
    if let Some(path) = &options.markdown {
        let text: String = inputs
            .iter()
            .map(|input| markdown::write(input, options.plots_at.as_deref()))
            .collect::<Vec<_>>()
            .join("\n");
        let old = fs::read_to_string(path).unwrap_or_default();
        let new = markdown::put(&old, &text).map_err(|what| {
            BenchError::Refused(format!("{} {what}; put its markers in order", path.display()))
        })?;
        write(path.clone(), &new)?;
    }
    Ok(written)
}

/// Writes the page of one run that has just ended.
pub fn write_page(name: &str, report: &Report, path: &Path) -> Result<(), BenchError> {
    let input = Input::Run(name.to_owned(), Box::new(report.clone()));
    let what = format!("can't write {}", path.display());
    fs::write(path, page::write(&[input])).map_err(BenchError::io(what))
}

fn read(path: &Path) -> Result<Input, BenchError> {
    let what = || format!("can't read {}", path.display());
    let bytes = fs::metadata(path).map_err(BenchError::io(what()))?.len();
    if bytes > INPUT_BYTES_MAX {
        return Err(BenchError::Refused(format!("{} is too large for results", path.display())));
    }
    let text = fs::read_to_string(path).map_err(BenchError::io(what()))?;
    let name = path.file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into_owned());
    Input::parse(&name, &text)
        .map_err(|error| BenchError::Refused(format!("{} holds no results: {error}", path.display())))
}

#[cfg(test)]
mod tests;
