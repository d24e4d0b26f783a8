//! Makes text from files harmless on a terminal: no control characters, no escape sequences, nothing invisible that reorders what is shown.

use std::borrow::Cow;

/// A text on one line: line breaks and tabs become blanks, what cannot be shown becomes a visible sign.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    replace(text, |c| match c {
        '\n' | '\t' => ' ',
        '\r' => ' ',
        c => visible(c),
    })
}

/// A text of several lines: `\n` stays (`\r\n` counts as one), the rest as in [`line`].
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        return Cow::Owned(block(&text.replace("\r\n", "\n").replace('\r', "\n")).into_owned());
    }
    replace(text, |c| match c {
        '\n' => '\n',
        '\t' => ' ',
        c => visible(c),
    })
}

/// A line of a source: each code point stays one code point, so that columns hold; tabs stay.
pub(super) fn source_line(text: &str) -> Cow<'_, str> {
    replace(text, |c| if c == '\t' { c } else { visible(c) })
}

fn replace(text: &str, mut by: impl FnMut(char) -> char) -> Cow<'_, str> {
    if text.chars().all(|c| by(c) == c) { Cow::Borrowed(text) } else { Cow::Owned(text.chars().map(by).collect()) }
}

/// The character itself, or a visible one in its stead.
fn visible(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        // C1 controls, marks and overrides of direction, joiners and spaces without width, separators, tags.
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_overrides_become_visible_signs() {
        assert_eq!(line("a\u{1b}[31mred\u{9b}0m\u{202e}\0\u{7f}"), "a␛[31mred�0m�␀␡");
    }

    #[test]
    fn a_line_has_no_breaks_and_a_block_keeps_its_own() {
        assert_eq!(line("a\r\nb\tc"), "a  b c");
        assert_eq!(block("a\r\nb\rc\n\td"), "a\nb\nc\n d");
    }

    #[test]
    fn harmless_text_is_not_copied() {
        assert!(matches!(line("Größe 日本 ✓"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_source_line_keeps_the_number_of_its_code_points() {
        let source = "\ta\u{200b}b\u{1b}\u{202e}é";
        assert_eq!(source_line(source).chars().count(), source.chars().count());
    }
}
