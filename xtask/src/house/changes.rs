//! How many files a change touches that were there before it: the last changes of the rooms, as git has them.

use super::sources;
use crate::tidy::Tree;
use anyhow::Result;

/// How many changes are looked at.
const CHANGES: usize = 60;
/// Below this many lines it is a mend and not a change that shows the walls.
const LINES_MIN: usize = 150;

/// Prints the median and the ninth tenth.
#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
pub(super) fn print(revision: Option<&str>) -> Result<()> {
    let log = sources::git(
        &Tree::open()?,
        &[
            "log",
            "--no-merges",
            "--numstat",
            "--summary",
            "--format=%x00",
            revision.unwrap_or("HEAD"),
            "--",
            "crates/*.rs",
        ],
    )?;
    let mut touched: Vec<usize> = log.split('\0').skip(1).filter_map(touched).take(CHANGES).collect();
    touched.sort_unstable();
    if let (Some(median), Some(most)) = (touched.get(touched.len() / 2), touched.get(touched.len() * 9 / 10))
    {
        println!(
            "files there before that a change of {LINES_MIN} lines or more touches: median {median}, nine in ten at most {most} (the last {})",
            touched.len()
        );
    }
    Ok(())
}

/// Of one change, if it is one of the rooms and large enough: how many files it touches but neither makes nor removes.
fn touched(change: &str) -> Option<usize> {
    let (mut files, mut lines, mut in_rooms) = (0, 0, false);
    for line in change.lines() {
        let line = line.trim();
        if line.starts_with("create mode") || line.starts_with("delete mode") {
            files -= i32::from(!is_test(line));
        } else if let [added, removed, path] = line.split('\t').collect::<Vec<_>>().as_slice()
            && !is_test(path)
        {
            files += 1;
            in_rooms |= path.starts_with("crates/services/");
            lines += added.parse::<usize>().unwrap_or(0) + removed.parse::<usize>().unwrap_or(0);
        }
    }
    (in_rooms && lines >= LINES_MIN).then(|| usize::try_from(files).unwrap_or(0))
}

fn is_test(path: &str) -> bool {
    path.contains("/tests") || path.contains("/plays") || path.contains("/testing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_change_of_the_rooms_is_counted_by_what_was_there() {
        let change = "\n120\t4\tcrates/services/src/pep.rs\n60\t0\tcrates/server/src/edge.rs\n80\t0\tcrates/services/src/new.rs\n9\t0\tcrates/services/src/plays/new.rs\n create mode 100644 crates/services/src/new.rs\n create mode 100644 crates/services/src/plays/new.rs\n";
        assert_eq!(touched(change), Some(2));
        assert_eq!(touched("100\t49\tcrates/services/src/pep.rs"), None, "small");
        assert_eq!(touched("900\t0\tcrates/server/src/edge.rs"), None, "not of the rooms");
    }
}
