//! Resolved words: what is known of them, and where each piece is written.

use std::ops::Range;
use std::sync::Arc;

/// A piece of a resolved word. Byte ranges are those of the file, not of the extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Known text.
    Text {
        /// The text.
        text: Arc<str>,
        /// Where it is written: in the word itself, or where the variable gets it.
        bytes: Range<usize>,
    },
    /// Not known.
    Unknown {
        /// Why, in words.
        reason: Arc<str>,
        /// The expression as it is written.
        bytes: Range<usize>,
    },
}

impl Piece {
    /// Where it is written.
    #[must_use]
    pub fn bytes(&self) -> &Range<usize> {
        match self {
            Self::Text { bytes, .. } | Self::Unknown { bytes, .. } => bytes,
        }
    }

    fn part(text: &str, whole: &Arc<str>, bytes: &Range<usize>, at: usize) -> Self {
        // Where escapes are gone the places of parts are not known: the whole stands for each.
        let bytes = if whole.len() == bytes.len() { bytes.start + at..bytes.start + at + text.len() } else { bytes.clone() };
        Self::Text { text: text.into(), bytes }
    }
}

/// A word after expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// Its pieces; none for an empty word.
    pub pieces: Vec<Piece>,
    /// Where it is written, with quotes; of an item of a list, where the list says it.
    pub bytes: Range<usize>,
    /// An unknown expansion outside quotes: it may stand for no word or for several.
    pub elastic: bool,
}

/// The value of a variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// Its pieces.
    pub pieces: Vec<Piece>,
    /// Not set in this file: it may come from outside, and a default holds where one is given.
    pub unset: bool,
}

impl Value {
    /// A known text written at these bytes of the file.
    #[must_use]
    pub fn known(text: &str, bytes: Range<usize>) -> Self {
        Self { pieces: vec![Piece::Text { text: text.into(), bytes }], unset: false }
    }

    /// A value that cannot be known.
    #[must_use]
    pub fn unknown(reason: &str, bytes: Range<usize>) -> Self {
        Self { pieces: vec![Piece::Unknown { reason: reason.into(), bytes }], unset: false }
    }

    /// The text, if all of it is known.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        text_of(&self.pieces)
    }

    /// Whether both have the same text, wherever it is written.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.unset == other.unset && self.pieces.len() == other.pieces.len() && self.pieces.iter().zip(&other.pieces).all(|(a, b)| same_piece(a, b))
    }
}

/// Whether two pieces say the same, wherever they are written; unknown ones only if they are the same expression.
pub(super) fn same_piece(a: &Piece, b: &Piece) -> bool {
    match (a, b) {
        (Piece::Text { text: a, .. }, Piece::Text { text: b, .. }) => a == b,
        (a, b) => a == b,
    }
}

fn text_of(pieces: &[Piece]) -> Option<String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text { text: more, .. } => text.push_str(more),
            Piece::Unknown { .. } => return None,
        }
    }
    Some(text)
}

impl Word {
    /// The text, if all of it is known.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        text_of(&self.pieces)
    }

    /// The text before the first unknown piece.
    #[must_use]
    pub fn known_start(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text { text: more, .. } => text.push_str(more),
                Piece::Unknown { .. } => break,
            }
        }
        text
    }

    /// Why it is not known, if it is not.
    #[must_use]
    pub fn unknown(&self) -> Option<&Arc<str>> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Unknown { reason, .. } => Some(reason),
            Piece::Text { .. } => None,
        })
    }

    /// Where its value is written: the text itself where one place says all of it (inside quotes, or where its variable is set), else the word.
    #[must_use]
    pub fn value_bytes(&self) -> Range<usize> {
        let mut written = self.pieces.iter().filter(|piece| !matches!(piece, Piece::Text { text, .. } if text.is_empty()));
        match (written.next(), written.next()) {
            (Some(only), None) => only.bytes().clone(),
            _ => self.bytes.clone(),
        }
    }

    /// Splits at the first `separator` of the known text.
    #[must_use]
    pub fn split_once(&self, separator: char) -> Option<(Self, Self)> {
        for (i, piece) in self.pieces.iter().enumerate() {
            if let Piece::Text { text, bytes } = piece
                && let Some(at) = text.find(separator)
            {
                let mut before = self.pieces.get(..i).unwrap_or_default().to_vec();
                let mut after = Vec::new();
                if at > 0 {
                    before.push(Piece::part(text.get(..at).unwrap_or_default(), text, bytes, 0));
                }
                let next = at + separator.len_utf8();
                if next < text.len() {
                    after.push(Piece::part(text.get(next..).unwrap_or_default(), text, bytes, next));
                }
                after.extend(self.pieces.get(i + 1..).unwrap_or_default().iter().cloned());
                return Some((self.with_pieces(before), self.with_pieces(after)));
            }
        }
        None
    }

    /// Splits at every `separator` of the known text.
    #[must_use]
    pub fn split(&self, separator: char) -> Vec<Self> {
        let mut parts: Vec<Vec<Piece>> = vec![Vec::new()];
        for piece in &self.pieces {
            match piece {
                Piece::Unknown { .. } => push_last(&mut parts, piece.clone()),
                Piece::Text { text, bytes } => {
                    let mut at = 0;
                    for (i, section) in text.split(separator).enumerate() {
                        if i > 0 {
                            parts.push(Vec::new());
                        }
                        if !section.is_empty() {
                            push_last(&mut parts, Piece::part(section, text, bytes, at));
                        }
                        at += section.len() + separator.len_utf8();
                    }
                }
            }
        }
        parts.into_iter().map(|pieces| self.with_pieces(pieces)).collect()
    }

    /// Cuts at characters of one byte, each given by its piece and its byte in the piece's text, ascending; the characters themselves are gone.
    #[must_use]
    pub fn cut(&self, cuts: &[(usize, usize)]) -> Vec<Self> {
        let mut cuts = cuts.iter().peekable();
        let mut parts: Vec<Vec<Piece>> = vec![Vec::new()];
        for (i, piece) in self.pieces.iter().enumerate() {
            let Piece::Text { text, bytes } = piece else {
                push_last(&mut parts, piece.clone());
                continue;
            };
            let mut from = 0;
            while let Some((_, at)) = cuts.next_if(|(piece, _)| *piece == i) {
                if from < *at {
                    push_last(&mut parts, Piece::part(text.get(from..*at).unwrap_or_default(), text, bytes, from));
                }
                parts.push(Vec::new());
                from = at + 1;
            }
            if from < text.len() {
                push_last(&mut parts, Piece::part(text.get(from..).unwrap_or_default(), text, bytes, from));
            }
        }
        parts.into_iter().map(|pieces| self.with_pieces(pieces)).collect()
    }

    /// The word without the first `bytes` of its known text, if it has as many.
    #[must_use]
    pub fn without_start(&self, length: usize) -> Option<Self> {
        let (first, rest) = self.pieces.split_first()?;
        let Piece::Text { text, bytes } = first else { return None };
        let after = text.get(length..)?;
        let mut pieces = Vec::with_capacity(self.pieces.len());
        if !after.is_empty() {
            pieces.push(Piece::part(after, text, bytes, length));
        }
        pieces.extend(rest.iter().cloned());
        Some(self.with_pieces(pieces))
    }

    fn with_pieces(&self, pieces: Vec<Piece>) -> Self {
        // A part of a word stands where its pieces stand, as long as they follow each other in the word.
        let bytes = match (pieces.first(), pieces.last()) {
            (Some(first), Some(last)) if self.contains(first.bytes()) && self.contains(last.bytes()) => first.bytes().start..last.bytes().end,
            _ => self.bytes.clone(),
        };
        Self { pieces, bytes, elastic: false }
    }

    fn contains(&self, bytes: &Range<usize>) -> bool {
        self.bytes.start <= bytes.start && bytes.end <= self.bytes.end
    }

    /// The words that unquoted text becomes: it is split at blanks.
    pub(super) fn fields(pieces: &[Piece]) -> Vec<Vec<Piece>> {
        let mut fields: Vec<Vec<Piece>> = Vec::new();
        let mut joined = false;
        for piece in pieces {
            match piece {
                Piece::Unknown { .. } => {
                    if joined {
                        push_last(&mut fields, piece.clone())
                    } else {
                        fields.push(vec![piece.clone()])
                    }
                    joined = true;
                }
                Piece::Text { text, bytes } => {
                    let mut at = 0;
                    for (i, section) in text.split([' ', '\t', '\n']).enumerate() {
                        if i > 0 {
                            joined = false;
                        }
                        if !section.is_empty() {
                            let part = Piece::part(section, text, bytes, at);
                            if joined {
                                push_last(&mut fields, part)
                            } else {
                                fields.push(vec![part])
                            }
                            joined = true;
                        }
                        at += section.len() + 1;
                    }
                }
            }
        }
        fields
    }
}

fn push_last(parts: &mut Vec<Vec<Piece>>, piece: Piece) {
    match parts.last_mut() {
        Some(last) => last.push(piece),
        None => parts.push(vec![piece]),
    }
}
