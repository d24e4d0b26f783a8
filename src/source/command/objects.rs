//! Kubernetes objects that a script applies from a here-document: read as if they stood in a file of their own, at the places of the script.

use std::ops::Range;
use std::sync::Arc;

use super::helm::program;
use super::script_file::ScriptFile;
use crate::document::extract::Extract;
use crate::document::shell::{Resolved, Word};
use crate::source::{Reading, SourceFile, argocd, evidence, flux, manifest};

/// Documents in one here-document.
const MAX_DOCUMENTS: usize = 200;

/// Whether a command applies what it reads: `kubectl apply -f -`, `argocd app create -f -`.
pub(super) fn is_applied(command: &Resolved) -> bool {
    let texts: Vec<String> = command.words.iter().filter_map(Word::text).collect();
    let applies = texts.iter().take(8).any(|text| matches!(program(text).as_str(), "kubectl" | "oc" | "argocd"))
        && texts.iter().any(|text| matches!(text.as_str(), "apply" | "create" | "replace"));
    applies && texts.iter().any(|text| matches!(text.as_str(), "-" | "-f-" | "--filename=-" | "/dev/stdin"))
}

/// What the objects in a here-document declare.
pub(super) fn read(text: &Extract, file: &ScriptFile<'_>) -> Reading {
    let mut reading = Reading::default();
    for range in documents(text.text()).into_iter().take(MAX_DOCUMENTS) {
        let Some(document) = text.text().get(range.clone()) else { continue };
        let speaks = memchr::memmem::find(document.as_bytes(), b"kind").is_some() && document.to_ascii_lowercase().contains("milvus");
        if !speaks {
            continue;
        }
        let object = SourceFile::embedded(Arc::clone(&file.source.path), in_place(&text.slice(range), file).into());
        for read in [argocd::read, flux::read, evidence::read, manifest::read] {
            reading.extend(read(&object, file.context));
        }
    }
    reading
}

/// The documents of a stream; inside an indented script their markers would not be recognised once the text is in place.
fn documents(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            ranges.push(start..at);
            start = at + line.len();
        }
        at += line.len();
    }
    ranges.push(start..at);
    ranges
}

/// The text with each line at its line and column of the file, and nothing before it.
fn in_place(text: &Extract, file: &ScriptFile<'_>) -> String {
    let mut placed = String::new();
    let mut line_number: u32 = 1;
    let mut column = 1;
    let mut at = 0;
    for (i, line) in text.text().split_inclusive('\n').enumerate() {
        let point = file.lines.point(text.source_byte(at));
        if i == 0 {
            for _ in 1..point.line {
                placed.push('\n');
            }
            line_number = point.line;
            column = point.column;
        }
        // A line that begins with the value of a variable stands elsewhere: it is taken at the indent of the first.
        let indent = if point.line == line_number { point.column } else { column };
        if !line.trim().is_empty() {
            placed.extend(std::iter::repeat_n(' ', indent.saturating_sub(1) as usize));
        }
        placed.push_str(line);
        at += line.len();
        line_number += 1;
    }
    placed
}
