//! From places in lines and columns to small excerpts with byte ranges, sound for places that do not fit the text.

use std::ops::Range;
use std::sync::Arc;

use super::wire::Region;
use super::{clean, mask};
use crate::document::lines::Lines;
use crate::model::place::{Place, Position};

/// A place of more lines than this is shown by its first line.
const MAX_LINES: u32 = 6;
/// Columns beyond this are named, not shown.
const MAX_COLUMN: u32 = 4096;
/// A line longer than this is not shown as part of a place of several lines.
const LONG_LINE: usize = 200;
/// At most so many characters are underlined in one line.
const MAX_UNDERLINE: u32 = 100;
/// Places further apart than this are separate excerpts.
const MAX_GAP: u32 = 60;

/// A text that places are shown of, without what nobody may see.
pub(super) struct Text(Lines);

/// An excerpt: whole lines, and what is marked in them. Lines between marks that nobody will see are empty.
#[derive(Debug, PartialEq)]
pub(super) struct Excerpt<'a> {
    pub(super) source: String,
    pub(super) first_line: usize,
    pub(super) marks: Vec<Mark<'a>>,
}

/// A marked range of an excerpt.
#[derive(Debug, PartialEq)]
pub(super) struct Mark<'a> {
    pub(super) bytes: Range<usize>,
    pub(super) label: &'a str,
    pub(super) primary: bool,
}

/// A place that can be shown, with its label.
pub(super) struct Shown<'a> {
    region: Region,
    label: &'a str,
    primary: bool,
}

impl Text {
    pub(super) fn new(text: Arc<str>) -> Self {
        Self(Lines::new(mask::text(&text).into()))
    }

    /// What of a place can be shown: nothing if it begins beyond the text or far to the right.
    pub(super) fn show<'a>(&self, place: &Place, label: &'a str, primary: bool) -> Option<Shown<'a>> {
        let Region { start, end } = Region::of(place);
        let line = self.0.line(start.line)?;
        let width = line.chars().take(MAX_COLUMN as usize + 1).count();
        if start.column > MAX_COLUMN || start.column as usize > width + 1 {
            return None;
        }
        let end = if start.line == end.line {
            end.column
        } else if self.fits_as_block(start.line, end.line) {
            return Some(Shown { region: Region { start, end }, label, primary });
        } else {
            u32::try_from(width).unwrap_or(MAX_COLUMN) + 1
        };
        let column = end.min(u32::try_from(width).unwrap_or(MAX_COLUMN) + 1).min(start.column + MAX_UNDERLINE).max(start.column);
        Some(Shown { region: Region { start, end: Position { line: start.line, column } }, label, primary })
    }

    fn fits_as_block(&self, first: u32, last: u32) -> bool {
        last - first < MAX_LINES && (first..=last).all(|number| self.0.line(number).is_some_and(|line| line.len() <= LONG_LINE))
    }

    /// Excerpts for places of this text, in the order of their lines; the one with the primary place first.
    pub(super) fn excerpts<'a>(&self, mut shown: Vec<Shown<'a>>) -> Vec<Excerpt<'a>> {
        shown.sort_by_key(|s| (s.region.start, s.region.end, !s.primary));
        let mut groups: Vec<(u32, Vec<Shown<'a>>)> = Vec::new();
        for item in shown {
            let last = item.region.end.line;
            match groups.last_mut() {
                Some((end, group)) if item.region.start.line.saturating_sub(*end) <= MAX_GAP => {
                    *end = last.max(*end);
                    group.push(item);
                }
                _ => groups.push((last, vec![item])),
            }
        }
        let mut excerpts: Vec<Excerpt<'a>> = groups.iter().map(|(last, group)| self.excerpt(*last, group)).collect();
        excerpts.sort_by_key(|excerpt| !excerpt.marks.iter().any(|mark| mark.primary));
        excerpts
    }

    fn excerpt<'a>(&self, last: u32, shown: &[Shown<'a>]) -> Excerpt<'a> {
        let first = shown.first().map_or(1, |s| s.region.start.line);
        let mut source = String::new();
        let mut starts = Vec::new();
        for number in first..=last {
            starts.push(source.len());
            let near = shown.iter().any(|s| number + 1 >= s.region.start.line && number <= s.region.end.line + 1);
            if near {
                push_line(&mut source, self.0.line(number).unwrap_or_default());
            }
            source.push('\n');
        }
        let byte = |position: Position| {
            let line = starts.get((position.line - first) as usize).copied().unwrap_or(source.len());
            let rest = source.get(line..).unwrap_or_default();
            let rest = rest.split('\n').next().unwrap_or_default();
            line + rest.char_indices().nth(position.column as usize - 1).map_or(rest.len(), |(at, _)| at)
        };
        let marks = shown.iter().map(|s| Mark { bytes: byte(s.region.start)..byte(s.region.end), label: s.label, primary: s.primary }).collect();
        Excerpt { source, first_line: first as usize, marks }
    }
}

fn push_line(source: &mut String, line: &str) {
    match line.char_indices().nth(MAX_COLUMN as usize) {
        Some((cut, _)) => {
            source.push_str(&clean::source_line(line.get(..cut).unwrap_or_default()));
            source.push('…');
        }
        None => source.push_str(&clean::source_line(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: (u32, u32), end: (u32, u32)) -> Place {
        Place { file: "f".into(), start: Position { line: start.0, column: start.1 }, end: Position { line: end.0, column: end.1 } }
    }

    fn marked(text: &str, place: &Place) -> Option<String> {
        let text = Text::new(text.into());
        let shown = text.show(place, "", true)?;
        let excerpt = text.excerpts(vec![shown]).remove(0);
        Some(excerpt.source[excerpt.marks[0].bytes.clone()].to_owned())
    }

    #[test]
    fn columns_count_code_points_and_the_end_is_exclusive() {
        assert_eq!(marked("a: 1\ngröße: „v2.5\u{1b}“\n", &place((2, 8), (2, 14))).as_deref(), Some("„v2.5␛"));
    }

    #[test]
    fn line_ends_of_windows_are_not_part_of_a_line() {
        assert_eq!(marked("a: b\r\nc: d\r\n", &place((1, 4), (1, 99))).as_deref(), Some("b"));
    }

    #[test]
    fn a_place_beyond_the_text_is_not_shown() {
        for (start, end) in [((9, 1), (9, 2)), ((1, 9), (1, 12)), ((u32::MAX, u32::MAX), (u32::MAX, u32::MAX))] {
            assert_eq!(marked("a: b\n", &place(start, end)), None);
        }
    }

    #[test]
    fn a_place_with_its_end_before_its_start_marks_nothing_but_its_start() {
        assert_eq!(marked("a: b\n", &place((1, 4), (1, 2))).as_deref(), Some(""));
        assert_eq!(marked("a: b\n", &place((0, 0), (0, 0))).as_deref(), Some(""));
    }

    #[test]
    fn a_place_of_many_lines_is_shown_by_its_first() {
        assert_eq!(marked(&"key: x\n".repeat(50), &place((3, 6), (40, 3))).as_deref(), Some("x"));
        assert_eq!(marked(&"key: x\n".repeat(50), &place((3, 6), (4, 3))).as_deref(), Some("x\nke"));
    }

    #[test]
    fn places_far_apart_are_excerpts_of_their_own_and_the_primary_comes_first() {
        let text = Text::new("key: x\n".repeat(500).into());
        let near = text.show(&place((3, 1), (3, 4)), "near", false).unwrap();
        let far = text.show(&place((400, 1), (400, 4)), "far", true).unwrap();
        let excerpts = text.excerpts(vec![near, far]);
        assert_eq!(excerpts.iter().map(|e| (e.first_line, e.marks[0].label)).collect::<Vec<_>>(), [(400, "far"), (3, "near")]);
    }

    #[test]
    fn a_very_long_line_is_cut_and_columns_far_to_the_right_are_not_shown() {
        let long = format!("a: {}\n", "x".repeat(10_000));
        assert_eq!(marked(&long, &place((1, 9_000), (1, 9_001))), None);
        assert_eq!(marked(&long, &place((1, 4), (1, 9_001))).map(|m| m.len()), Some(100));
    }
}
