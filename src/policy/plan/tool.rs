//! Settings of the applying tool that must not stay as they are while a plan is followed: rollback by itself, force, reused defaults, short waits.

use crate::model::declaration::{Declaration, Flag};
use crate::model::plan::ToolChange;
use crate::model::words::{FlagKind, Form, Operation, ValuesStrategy};
use crate::policy::tables::{Planning, ToolRow};

/// How long a plan lets the tool wait, as Go writes it.
pub(super) const WAIT: &str = "30m";
/// Shorter waits are raised, in seconds.
const WAIT_AT_LEAST_SECONDS: u64 = 600;

/// The release as it is declared with the plan's settings, and what changed.
pub(super) fn settled(declared: &Declaration, planning: &Planning) -> (Declaration, Vec<ToolChange>) {
    let mut after = declared.clone();
    let mut changes = Vec::new();
    for kind in planning.tool.iter().map(|row| row.flag) {
        let Some(at) = after.flags.iter().position(|flag| flag.kind == kind) else { continue };
        match kind {
            FlagKind::Timeout | FlagKind::ResetThenReuseValues => continue,
            _ => {
                let removed = after.flags.remove(at);
                changes.push(ToolChange::Off(kind));
                if kind == FlagKind::Atomic && !has(&after, FlagKind::Wait) {
                    after.flags.push(Flag { kind: FlagKind::Wait, value: None, place: removed.place });
                }
            }
        }
    }
    let is_upgrade = matches!(after.operation, Operation::Upgrade | Operation::UpgradeInstall);
    let gives_all = has(&after, FlagKind::ValuesFile) || has(&after, FlagKind::ResetValues) || has(&after, FlagKind::ResetThenReuseValues);
    if after.identity.form == Form::Command && is_upgrade && !gives_all {
        push(&mut after, FlagKind::ResetThenReuseValues, None);
        after.strategy = ValuesStrategy::ResetThenReuse;
        changes.push(ToolChange::ResetThenReuse);
    } else if matches!(after.strategy, ValuesStrategy::Reuse | ValuesStrategy::KeptByDefault) {
        after.strategy = ValuesStrategy::Replace;
    }
    if waits_too_short(&after) {
        after.flags.retain(|flag| flag.kind != FlagKind::Timeout);
        push(&mut after, FlagKind::Timeout, Some(WAIT));
        changes.push(ToolChange::Timeout);
    }
    (after, changes)
}

/// Why a setting changes.
pub(super) fn reason(change: ToolChange, planning: &Planning) -> Option<&str> {
    let flag = match change {
        ToolChange::Off(kind) => kind,
        ToolChange::Timeout => FlagKind::Timeout,
        ToolChange::ResetThenReuse => FlagKind::ResetThenReuseValues,
    };
    planning.tool.iter().find(|row: &&ToolRow| row.flag == flag).map(|row| row.text.as_str())
}

fn has(declaration: &Declaration, kind: FlagKind) -> bool {
    declaration.flags.iter().any(|flag| flag.kind == kind)
}

fn push(declaration: &mut Declaration, kind: FlagKind, value: Option<&str>) {
    let place = declaration.place.clone();
    declaration.flags.push(Flag { kind, value: value.map(Into::into), place });
}

fn waits_too_short(declaration: &Declaration) -> bool {
    let knows_timeouts = matches!(declaration.identity.form, Form::Flux | Form::Helmfile | Form::Command);
    let timeout = declaration.flags.iter().find(|flag| flag.kind == FlagKind::Timeout);
    let is_short = match timeout.and_then(|flag| flag.value.as_deref()) {
        // A timeout that cannot be read is the user's business.
        None => timeout.is_none(),
        Some(text) => crate::policy::evaluate::seconds(text).is_some_and(|seconds| seconds < WAIT_AT_LEAST_SECONDS),
    };
    knows_timeouts && has(declaration, FlagKind::Wait) && is_short
}
