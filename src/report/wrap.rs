//! Breaks long lines of prose for a terminal. What people copy stays whole: commands, YAML, and what stands between backticks.

use std::borrow::Cow;

/// Narrower than this nothing is broken: it would be harder to read, not easier.
const MIN_WIDTH: usize = 30;

/// The same text with its lines broken between words at this width, in characters. Indented lines are code and stay as they are.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Cow<'_, str> {
    if width < MIN_WIDTH || text.lines().all(|line| line.chars().count() <= width) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if line.starts_with(' ') || line.chars().count() <= width {
            out.push_str(line);
        } else {
            paragraph(line, width, width, &mut out);
        }
    }
    Cow::Owned(out)
}

/// Lines of at most `width` characters (at least one word each), the first behind `first`, the others behind `indent`. Line breaks of the text stay; items of a list (`- `)
/// hang; indented lines are code and stay as they are.
#[must_use]
pub fn hang(text: &str, width: usize, first: &str, indent: &str) -> String {
    let mut out = String::new();
    for (number, line) in text.trim_end().lines().enumerate() {
        let start = if number == 0 { first } else { indent };
        let (item, inner) = line.strip_prefix("- ").map_or((None, line), |item| (Some("- "), item));
        let indent = format!("{indent}{}", item.map_or("", |_| "  "));
        let start = format!("{start}{}", item.unwrap_or_default());
        let room = |before: &str| width.saturating_sub(before.chars().count());
        let mut filled = String::new();
        if inner.starts_with(' ') {
            filled.push_str(inner);
        } else {
            paragraph(inner, room(&start), room(&indent), &mut filled);
        }
        for (number, line) in filled.split('\n').enumerate() {
            out.push_str(format!("{}{line}", if number == 0 { &start } else { &indent }).trim_end());
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Fills lines of `width` characters, the first with `first_width`.
fn paragraph(line: &str, first_width: usize, width: usize, out: &mut String) {
    let mut used = 0;
    let mut room = first_width;
    for word in words(line) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            out.push('\n');
            used = 0;
            room = width;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
}

/// The parts between blanks that stand outside of backticks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    line.split(move |c: char| {
        in_code ^= c == '`';
        c == ' ' && !in_code
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_broken_between_words_and_code_is_not() {
        let text = "Go to Milvus 2.5.16 or later first, then set `a.b: long enough to be broken` and go on:\n  helm upgrade vectors zilliztech/milvus --version 4.2.58 --reset-then-reuse-values\nend";
        assert_eq!(
            wrap(text, 40),
            "Go to Milvus 2.5.16 or later first, then\nset `a.b: long enough to be broken` and\ngo on:\n  helm upgrade vectors zilliztech/milvus --version 4.2.58 --reset-then-reuse-values\nend"
        );
    }

    #[test]
    fn prose_hangs_behind_what_it_belongs_to() {
        insta::assert_snapshot!(hang("one two three `four five six seven` eight\nnext line that is long enough to break\n- an item of a list that hangs\n  kept: as it is, however long it may be", 20, "- ", "  "), @r"
        - one two three
          `four five six seven`
          eight
          next line that is
          long enough to
          break
          - an item of a
            list that hangs
            kept: as it is, however long it may be
        ");
    }

    #[test]
    fn what_fits_or_has_no_room_is_left_alone() {
        assert!(matches!(wrap("short", 40), Cow::Borrowed(_)));
        assert!(matches!(wrap(&"long ".repeat(40), 10), Cow::Borrowed(_)));
        assert_eq!(wrap(&"x".repeat(50), 40), "x".repeat(50));
        assert_eq!(wrap(&format!("`{}", "a ".repeat(30)), 40), format!("`{}", "a ".repeat(30)));
    }
}
