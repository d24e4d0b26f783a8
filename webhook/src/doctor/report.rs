//! How entries are printed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Entry, State};

/// The version of the JSON report.
const SCHEMA_VERSION: u32 = 1;

/// For people: what belongs to the cluster first, then release by release; problems with what to do.
#[must_use]
pub fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut place = None;
    for entry in entries {
        let of = entry.namespace.as_deref().map(|namespace| (namespace, entry.release.as_deref()));
        if of != place {
            place = of;
            if let Some((namespace, release)) = of {
                let release = release.map_or_else(String::new, |release| format!(", release {release}"));
                // Writing to a String does not fail.
                let _ = writeln!(text, "\nnamespace {namespace}{release}");
            }
        }
        let rule = entry.rule.as_ref().map_or_else(String::new, |rule| format!("{rule}: "));
        let _ = writeln!(text, "{:<8} {}: {rule}{}", word(entry.state), entry.check, entry.message);
        if let Some(remedy) = &entry.remedy {
            let _ = writeln!(text, "         -> {remedy}");
        }
    }
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    let _ = writeln!(text, "\n{}, {} that could not be told", plural(count(State::Problem), "problem"), plural(count(State::Unknown), "thing"));
    text
}

/// For programs.
#[must_use]
pub fn json(entries: &[Entry]) -> Value {
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    let summary = json!({"ok": count(State::Ok), "notes": count(State::Note), "problems": count(State::Problem), "unknown": count(State::Unknown)});
    json!({"schema_version": SCHEMA_VERSION, "checks": entries, "summary": summary})
}

const fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Unknown => "unknown",
        State::Problem => "PROBLEM",
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
