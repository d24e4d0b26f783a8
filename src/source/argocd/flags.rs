//! How Argo CD applies an application: prune, replace, deletion.

use crate::model::declaration::{Flag, FlagKind};
use crate::source::item::Item;

/// The finalizer that deletes what an application made, with its variants `/background` and `/foreground`.
const DELETE: &str = "resources-finalizer.argocd.argoproj.io";

pub(super) fn read(application: &Item) -> Vec<Flag> {
    let mut flags = Vec::new();
    let policy = application.at(&["spec", "syncPolicy"]);
    if let Some(prune) = policy.and_then(|policy| policy.at(&["automated", "prune"])).filter(|prune| prune.text() == Some("true")) {
        flags.push(flag(FlagKind::Prune, prune));
    }
    for option in policy.and_then(|policy| policy.get("syncOptions")).map(Item::items).unwrap_or_default() {
        if matches!(option.text(), Some("Replace=true" | "Force=true")) {
            flags.push(flag(FlagKind::Force, option));
        }
    }
    for finalizer in application.at(&["metadata", "finalizers"]).map(Item::items).unwrap_or_default() {
        if finalizer.text().is_some_and(|text| text.strip_prefix(DELETE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))) {
            flags.push(flag(FlagKind::DeleteFinalizer, finalizer));
        }
    }
    flags
}

/// The cluster that an application goes to, where that is not the one that Argo CD runs in.
pub(super) fn cluster(application: &Item) -> Option<&Item> {
    let destination = application.at(&["spec", "destination"])?;
    let at = ["name", "server"].iter().find_map(|key| destination.get(key).filter(|at| !at.is_null() && at.text() != Some("")))?;
    let is_own = matches!(at.text(), Some("in-cluster" | "https://kubernetes.default.svc"));
    (!is_own).then_some(at)
}

fn flag(kind: FlagKind, at: &Item) -> Flag {
    Flag { kind, value: (kind == FlagKind::Force).then(|| at.text().map(Into::into)).flatten(), place: at.place() }
}
