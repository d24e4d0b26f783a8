//! What looks like a waiver: this version reads none, and says so where one is written, since nobody should rely on it.

use std::sync::Arc;

use milvus_guard::model::declaration::{NotChecked, NotCheckedKind};
use milvus_guard::model::place::{Place, Position};
use milvus_guard::source::SourceFile;

use super::content;

/// How a waiver begins.
const WAIVER: &str = "milvus-lint: allow";

/// Files at the top of a tree that other versions take settings from.
const SETTINGS: [&str; 2] = [".milvus-lint.yaml", ".milvus-lint.yml"];

/// Waivers that are told in one file, at most.
const MAX_IN_FILE: usize = 50;

/// A gap for each comment that is written as a waiver, and for a file of settings.
pub(crate) fn unread(files: &[SourceFile], paths: &[Arc<str>]) -> Vec<NotChecked> {
    let settings = SETTINGS.iter().filter_map(|name| paths.binary_search_by(|path| (**path).cmp(name)).ok().and_then(|at| paths.get(at)));
    let settings = settings
        .map(|path| content::gap(path, NotCheckedKind::NotRead, "settings are not read from this file by this version: nothing in it is in force".to_owned()));
    files.iter().flat_map(in_comments).chain(settings).collect()
}

fn in_comments(file: &SourceFile) -> Vec<NotChecked> {
    if memchr::memmem::find(file.text.as_bytes(), WAIVER.as_bytes()).is_none() {
        return Vec::new();
    }
    let written = (1..).zip(file.text.lines()).filter_map(|(line, text)| {
        let (before, _) = text.split_once(WAIVER)?;
        let is_comment = before.trim_end().ends_with(['#', '/', '*']);
        let column = u32::try_from(before.chars().count() + 1).ok()?;
        is_comment.then_some((line, column))
    });
    let gap = |(line, column): (u32, u32)| {
        let length = u32::try_from(WAIVER.len()).unwrap_or_default();
        let place = Place { file: Arc::clone(&file.path), start: Position { line, column }, end: Position { line, column: column + length } };
        let reason = "waivers are not read by this version, so this one is not in force; where a rule takes an answer (`milvus-lint explain RULE`), write \
                      `guard.milvus-guard.dev/ack: RULE <reference>`";
        NotChecked { place: Some(place), ..content::gap(&file.path, NotCheckedKind::NotRead, reason.to_owned()) }
    };
    written.take(MAX_IN_FILE).map(gap).collect()
}
