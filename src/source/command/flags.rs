//! What Helm's flags mean for a release: namespace, values strategy, settings that rules look at.

use std::sync::Arc;

use super::helm::{HelmCall, HelmOption};
use super::script_file::ScriptFile;
use crate::document::shell::{Resolved, Word};
use crate::model::declaration::{Flag, FlagKind, Operation, ValuesStrategy};
use crate::model::place::Fact;

/// The namespace: `-n`, or `HELM_NAMESPACE` set for the command.
pub(super) fn namespace(call: &HelmCall, command: &Resolved, file: &ScriptFile<'_>) -> Fact<Arc<str>> {
    if let Some(word) = call.option("namespace").and_then(|option| option.value.as_ref()) {
        return file.fact(word);
    }
    let variable = command.assignments.iter().find(|(name, _)| name == "HELM_NAMESPACE");
    variable.map_or(Fact::Absent, |(_, value)| {
        let bytes = value.pieces.first().map(|piece| piece.bytes().clone()).unwrap_or_default();
        file.fact(&Word { pieces: value.pieces.clone(), bytes, elastic: false })
    })
}

/// What becomes of the values of the running release (facts: "How a release was upgraded can be read from it").
/// Files without a value are as none.
pub(super) fn strategy(call: &HelmCall, operation: Operation, gives_values: bool) -> ValuesStrategy {
    if matches!(operation, Operation::Install | Operation::Template) || call.switch("reset-values").is_some() {
        ValuesStrategy::Replace
    } else if call.switch("reset-then-reuse-values").is_some() {
        ValuesStrategy::ResetThenReuse
    } else if call.switch("reuse-values").is_some() {
        ValuesStrategy::Reuse
    } else if gives_values {
        ValuesStrategy::Replace
    } else {
        ValuesStrategy::KeptByDefault
    }
}

/// Switches and options that rules look at.
pub(super) fn flags(call: &HelmCall, file: &ScriptFile<'_>) -> Vec<Flag> {
    const SWITCHES: [(&str, FlagKind); 10] = [
        ("reuse-values", FlagKind::ReuseValues),
        ("reset-then-reuse-values", FlagKind::ResetThenReuseValues),
        ("reset-values", FlagKind::ResetValues),
        ("atomic", FlagKind::Atomic),
        ("rollback-on-failure", FlagKind::Atomic),
        ("wait", FlagKind::Wait),
        ("force", FlagKind::Force),
        ("force-replace", FlagKind::Force),
        ("recreate-pods", FlagKind::RecreatePods),
        ("no-hooks", FlagKind::NoHooks),
    ];
    let mut flags: Vec<Flag> = Vec::new();
    let mut push = |kind: FlagKind, option: &HelmOption, keeps_value: bool| {
        if !flags.iter().any(|flag| flag.kind == kind) {
            let value = option.value.as_ref().filter(|_| keeps_value).and_then(Word::text).map(Arc::from);
            let end = option.value.as_ref().filter(|word| keeps_value && follows(option, word, file)).map_or(option.bytes.end, |word| word.bytes.end);
            flags.push(Flag { kind, value, place: file.place(&(option.bytes.start..end)) });
        }
    };
    for (name, kind) in SWITCHES {
        if let Some(option) = call.switch(name) {
            push(kind, option, true);
        }
    }
    // `--dry-run=$X` may be none.
    if let Some(option) = call.switch("dry-run").filter(|option| option.value.as_ref().is_none_or(|value| value.text().is_some())) {
        push(FlagKind::DryRun, option, true);
    }
    if let Some(option) = call.option("timeout") {
        push(FlagKind::Timeout, option, true);
    }
    if let Some(option) = call.options.iter().find(|option| option.name.starts_with("set")) {
        push(FlagKind::Set, option, false);
    }
    if let Some(option) = call.options.iter().find(|option| option.name == "values") {
        push(FlagKind::ValuesFile, option, false);
    }
    flags
}

/// Whether the argument of an option is written right behind it: then it is a part of the place, and who replaces the flag replaces both.
fn follows(option: &HelmOption, argument: &Word, file: &ScriptFile<'_>) -> bool {
    let (end, start) = (option.bytes.end, argument.bytes.start);
    end <= start && file.written(&(end..start)).trim().is_empty()
}
