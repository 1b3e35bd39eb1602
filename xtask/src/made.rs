//! Parts of documents that are made from the code: what stands between two marks, which name the command that makes it.

use anyhow::{Context, Result};

/// A document in which what stands between the marks of this part is this.
///
/// The marks are `<!-- PART: made by COMMAND -->` and `<!-- end of PART -->`, each on a line of its own.
pub(crate) fn renewed(document: &str, (part, command): (&str, &str), content: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {part}: made by {command} -->\n"), format!("<!-- end of {part} -->"));
    let parts = document
        .split_once(&begin)
        .and_then(|(before, rest)| rest.split_once(&end).map(|(_, after)| (before, after)));
    let (before, after) = parts
        .with_context(|| format!("put the lines `{}` and `{end}` where it belongs", begin.trim_end()))?;
    Ok(format!("{before}{begin}{content}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let part = ("table", "cargo xtask table");
        let empty = "# A\n<!-- table: made by cargo xtask table -->\n<!-- end of table -->\nrest\n";
        let filled = renewed(empty, part, "x\n").unwrap();
        assert_eq!(
            filled,
            "# A\n<!-- table: made by cargo xtask table -->\nx\n<!-- end of table -->\nrest\n"
        );
        assert_eq!(renewed(&filled, part, "x\n").unwrap(), filled);
        let error = renewed("# A\n", part, "x\n").unwrap_err().to_string();
        assert!(
            error.starts_with("put the lines `<!-- table: made by cargo xtask table -->` and"),
            "{error}"
        );
    }
}
