//! Edits of a text that keep everything else as it is, and their unified diff.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use milvus_guard::model::place::Place;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// Edits of one text, by line.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// New lines before a 1-based line.
    inserted: BTreeMap<usize, Vec<String>>,
    /// Parts of a 1-based line (columns from and to, 1-based, in code points) and what takes their place.
    replaced: BTreeMap<usize, Vec<(usize, usize, String)>>,
    /// 1-based lines that go away.
    removed: BTreeSet<usize>,
}

impl Edits {
    /// Puts lines before a line.
    pub(super) fn insert(&mut self, line: u32, lines: impl IntoIterator<Item = String>) {
        self.inserted.entry(line as usize).or_default().extend(lines);
    }

    /// Replaces what stands at a place; false when it runs over several lines.
    pub(super) fn replace(&mut self, place: &Place, text: &str) -> bool {
        if place.start.line != place.end.line || place.start.column >= place.end.column {
            return false;
        }
        let parts = self.replaced.entry(place.start.line as usize).or_default();
        parts.push((place.start.column as usize, place.end.column as usize, text.to_owned()));
        true
    }

    /// Puts a text into a line, before a column.
    pub(super) fn insert_within(&mut self, line: u32, column: u32, text: &str) {
        self.replaced.entry(line as usize).or_default().push((column as usize, column as usize, text.to_owned()));
    }

    /// Takes lines away, from the first to the last.
    pub(super) fn remove(&mut self, lines: RangeInclusive<usize>) {
        self.removed.extend(lines);
    }

    /// Whether a 1-based line is edited.
    pub(super) fn touches(&self, line: u32) -> bool {
        let line = line as usize;
        self.replaced.contains_key(&line) || self.removed.contains(&line) || self.inserted.contains_key(&line)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.replaced.is_empty() && self.removed.is_empty()
    }

    /// The text after the edits, with the steps that lead to it.
    pub(super) fn apply(&self, text: &str) -> Applied {
        let mut after = String::with_capacity(text.len());
        let mut steps = Vec::new();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let end = line.get(line.trim_end_matches(['\r', '\n']).len()..).unwrap_or_default();
            let end = if end.is_empty() { "\n" } else { end };
            for new in self.inserted.get(&number).into_iter().flatten() {
                after.push_str(&format!("{new}{end}"));
                steps.push(Step::Added(new.clone()));
            }
            let bare = line.trim_end_matches(['\r', '\n']);
            if self.removed.contains(&number) {
                steps.push(Step::Removed(bare.to_owned()));
                continue;
            }
            match self.replaced.get(&number).map(|parts| spliced(bare, parts)) {
                Some(new) if new != bare => {
                    after.push_str(&line.replacen(bare, &new, 1));
                    steps.push(Step::Removed(bare.to_owned()));
                    steps.push(Step::Added(new));
                }
                _ => {
                    after.push_str(line);
                    steps.push(Step::Kept(bare.to_owned()));
                }
            }
        }
        Applied { after, steps }
    }
}

/// A text after edits.
pub(super) struct Applied {
    pub(super) after: String,
    steps: Vec<Step>,
}

/// A unified diff that everybody may see.
#[derive(Debug, Default)]
pub(super) struct Diff {
    pub(super) text: String,
    /// Whether a changed line is masked.
    pub(super) is_masked: bool,
    /// Whether a hunk stands without the lines around it.
    pub(super) is_bare: bool,
}

enum Step {
    Kept(String),
    Removed(String),
    Added(String),
}

/// The lines of a block entry whose key stands alone on its line: up to the next line that is not deeper, without blank lines and comments behind it. Nothing where something
/// else stands before the key.
pub(super) fn entry_lines(text: &str, key: &Place) -> Option<RangeInclusive<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let first = (key.start.line as usize).checked_sub(1)?;
    let indent = (key.start.column as usize).checked_sub(1)?;
    let before: String = lines.get(first)?.chars().take(indent).collect();
    if !before.trim().is_empty() {
        return None;
    }
    let depth = |line: &str| line.chars().take_while(|c| *c == ' ').count();
    let mut last = first;
    for (number, line) in lines.iter().enumerate().skip(first + 1) {
        let bare = line.trim();
        // Items of a list may stand as far out as the key of the list.
        let is_item = depth(line) == indent && (bare == "-" || bare.starts_with("- "));
        match bare {
            "" => continue,
            _ if depth(line) > indent || is_item => {}
            _ => break,
        }
        if !bare.starts_with('#') {
            last = number;
        }
    }
    Some(first + 1..=last + 1)
}

/// A line with parts replaced, from the last to the first so that columns stay true.
fn spliced(line: &str, parts: &[(usize, usize, String)]) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    let mut parts: Vec<&(usize, usize, String)> = parts.iter().collect();
    parts.sort_by_key(|(from, ..)| std::cmp::Reverse(*from));
    for (from, to, text) in parts {
        let (from, to) = (from.saturating_sub(1), to.saturating_sub(1).min(chars.len()));
        if from <= to {
            chars.splice(from..to, text.chars());
        }
    }
    chars.into_iter().collect()
}

impl Applied {
    /// The diff, given both texts as everybody may see them: around a change only lines that hold nothing to hide, so that it still applies; a changed line is shown masked.
    pub(super) fn diff(&self, file: &str, before: &str, after: &str) -> Diff {
        let (mut before, mut after) = (before.lines(), after.lines());
        let mut shown: Vec<&str> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let of_before = if matches!(step, Step::Added(_)) { None } else { before.next() };
            let of_after = if matches!(step, Step::Removed(_)) { None } else { after.next() };
            shown.push(match step {
                Step::Kept(line) => [of_before, of_after].into_iter().flatten().find(|shown| shown != line).unwrap_or(line),
                Step::Removed(_) | Step::Added(_) => of_before.or(of_after).unwrap_or_default(),
            });
        }
        let is_hidden = |at: usize| self.steps.get(at).zip(shown.get(at)).is_some_and(|(step, shown)| step.line() != *shown);
        let is_change = |at: usize| self.steps.get(at).is_some_and(|step| !matches!(step, Step::Kept(_)));
        let mut diff = Diff { is_masked: (0..self.steps.len()).any(|at| is_change(at) && is_hidden(at)), ..Diff::default() };
        let mut near = vec![false; self.steps.len()];
        let mut at = 0;
        while at < self.steps.len() {
            if !is_change(at) {
                at += 1;
                continue;
            }
            let end = (at..self.steps.len()).find(|at| !is_change(*at)).unwrap_or(self.steps.len());
            let is_wall = |at: usize| !is_change(at) && is_hidden(at);
            let leading = (1..=CONTEXT.min(at)).find(|n| is_wall(at - n)).map(|n| n - 1);
            let trailing = (0..CONTEXT.min(self.steps.len() - end)).find(|n| is_wall(end + n));
            // Tools take uneven context for the beginning or the end of the file.
            let context = leading.into_iter().chain(trailing).min().unwrap_or(CONTEXT);
            diff.is_bare |= context == 0;
            near.iter_mut().take(end + context).skip(at.saturating_sub(context)).for_each(|shown| *shown = true);
            at = end;
        }
        diff.text = unified(file, &self.steps, &shown, &near);
        diff
    }
}

impl Step {
    fn line(&self) -> &str {
        match self {
            Self::Kept(line) | Self::Removed(line) | Self::Added(line) => line,
        }
    }
}

fn unified(file: &str, steps: &[Step], shown: &[&str], near: &[bool]) -> String {
    let mut out = format!("--- a/{file}\n+++ b/{file}\n");
    let (mut before, mut after) = (1, 1);
    let mut hunk = Hunk::default();
    for ((step, shown), near) in steps.iter().zip(shown).zip(near) {
        if *near {
            hunk.push(step, shown, before, after);
        } else {
            hunk.close(&mut out);
        }
        before += usize::from(!matches!(step, Step::Added(_)));
        after += usize::from(!matches!(step, Step::Removed(_)));
    }
    hunk.close(&mut out);
    out
}

#[derive(Default)]
struct Hunk {
    start: Option<(usize, usize)>,
    lengths: (usize, usize),
    body: String,
}

impl Hunk {
    fn push(&mut self, step: &Step, line: &str, before: usize, after: usize) {
        self.start.get_or_insert((before, after));
        let (sign, counts) = match step {
            Step::Kept(_) => (' ', (1, 1)),
            Step::Removed(_) => ('-', (1, 0)),
            Step::Added(_) => ('+', (0, 1)),
        };
        self.lengths = (self.lengths.0 + counts.0, self.lengths.1 + counts.1);
        self.body.push_str(&format!("{sign}{line}\n"));
    }

    fn close(&mut self, out: &mut String) {
        if let Some((before, after)) = self.start {
            // A side without lines is named by the line before.
            let (before, after) = (before - usize::from(self.lengths.0 == 0), after - usize::from(self.lengths.1 == 0));
            out.push_str(&format!("@@ -{before},{} +{after},{} @@\n{}", self.lengths.0, self.lengths.1, self.body));
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use milvus_guard::model::place::Position;

    use super::*;

    fn place(line: u32, from: u32, to: u32) -> Place {
        Place { file: "a.yaml".into(), start: Position { line, column: from }, end: Position { line, column: to } }
    }

    #[test]
    fn edits_change_their_lines_only_and_show_as_a_unified_diff() {
        let text = "é: 1 # c\r\nb: 2\n3\n4\n5\n6\n7\n8\n9\nc: [x, y]";
        let mut edits = Edits::default();
        assert!(edits.replace(&place(1, 4, 5), "22") && edits.replace(&place(10, 5, 6), "long") && edits.replace(&place(10, 8, 9), "z"));
        edits.insert(2, ["a: 1".to_owned(), "aa: 1".to_owned()]);
        let applied = edits.apply(text);
        let diff = applied.diff("a.yaml", text, &applied.after).text;
        assert_eq!(applied.after, "é: 22 # c\r\na: 1\naa: 1\nb: 2\n3\n4\n5\n6\n7\n8\n9\nc: [long, z]");
        insta::assert_snapshot!(diff, @r"
        --- a/a.yaml
        +++ b/a.yaml
        @@ -1,4 +1,6 @@
        -é: 1 # c
        +é: 22 # c
        +a: 1
        +aa: 1
         b: 2
         3
         4
        @@ -7,4 +9,4 @@
         7
         8
         9
        -c: [x, y]
        +c: [long, z]
        ");
    }

    #[test]
    fn lines_that_nobody_may_see_are_not_around_a_change_and_masked_in_it() {
        let text = "1\n2\nsecret\n4\n5\n6\n7\nsecret\n9\nx: secret\n";
        let hide = |text: &str| text.replace("secret", "******");
        let mut edits = Edits::default();
        edits.insert(5, ["new".to_owned()]);
        edits.insert(9, ["bare".to_owned()]);
        assert!(edits.replace(&place(10, 1, 2), "y"));
        let applied = edits.apply(text);
        let diff = applied.diff("a", &hide(text), &hide(&applied.after));
        insta::assert_snapshot!(diff.text, @r"
        --- a/a
        +++ b/a
        @@ -4,2 +4,3 @@
         4
        +new
         5
        @@ -9,2 +10,3 @@
        +bare
         9
        -x: ******
        +y: ******
        ");
        assert!(diff.is_masked && diff.is_bare);
    }

    #[test]
    fn an_entry_goes_with_all_that_is_deeper() {
        let text = "a:\n  b:\n    c: 1\n\n    # of d\n    d: |\n      x\n  # of e\n  e:\n  - 1\n  -\n    f: 2\n  g: {h: 1}\n";
        let lines = |line, column| entry_lines(text, &place(line, column, column + 1));
        assert_eq!((lines(2, 3), lines(3, 5), lines(9, 3), lines(13, 3), lines(1, 1)), (Some(2..=7), Some(3..=3), Some(9..=12), Some(13..=13), Some(1..=13)));
        assert_eq!(lines(13, 7), None);
        let mut edits = Edits::default();
        edits.remove(2..=7);
        edits.insert(2, ["  z: 0".to_owned()]);
        assert_eq!(edits.apply(text).after, "a:\n  z: 0\n  # of e\n  e:\n  - 1\n  -\n    f: 2\n  g: {h: 1}\n");
    }

    #[test]
    fn a_place_over_several_lines_is_not_replaced() {
        let mut edits = Edits::default();
        let mut place = place(1, 1, 2);
        place.end.line = 2;
        assert!(!edits.replace(&place, "x") && edits.is_empty());
    }
}
