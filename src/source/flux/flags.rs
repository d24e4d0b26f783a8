//! How Flux applies a release: values, remediation, waiting, force, prune.

use crate::model::declaration::{Flag, FlagKind};
use crate::source::item::Item;
use crate::source::kustomize::Environment;

/// The settings of a `HelmRelease`, and of the Flux Kustomization that applies it.
pub(super) fn read(item: &Item, environment: &Environment<'_>) -> Vec<Flag> {
    let mut flags = Vec::new();
    let Some(spec) = item.get("spec") else {
        return flags;
    };
    let upgrade = |path: &[&str]| spec.get("upgrade").and_then(|upgrade| upgrade.at(path));
    let is_true = |item: &&Item| item.text().is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let switches = [("preserveValues", FlagKind::ReuseValues), ("force", FlagKind::Force), ("disableHooks", FlagKind::NoHooks)];
    for (key, kind) in switches {
        flags.extend(upgrade(&[key]).filter(is_true).map(|at| flag(kind, None, at)));
    }
    flags.extend(remediation(spec));
    if let Some(timeout) = upgrade(&["timeout"]).or_else(|| spec.get("timeout")).filter(|timeout| !timeout.is_null()) {
        flags.push(flag(FlagKind::Timeout, timeout.text(), timeout));
    }
    if upgrade(&["disableWait"]).filter(is_true).is_none() {
        flags.push(flag(FlagKind::Wait, None, item.get("kind").unwrap_or(item)));
    }
    flags.extend(spec.get("suspend").filter(is_true).map(|at| flag(FlagKind::Suspended, None, at)));
    flags.extend(spec.get("kubeConfig").filter(|at| !at.is_null()).map(|at| flag(FlagKind::Cluster, cluster(at), at)));
    let storage = spec.get("storageNamespace").filter(|at| !at.is_null() && at.text() != Some(""));
    let is_own = |at: &&Item| at.text().is_some() && at.text() == item.text_at(&["metadata", "namespace"]);
    flags.extend(storage.filter(|at| !is_own(at)).map(|at| flag(FlagKind::StorageNamespace, at.text(), at)));
    let prune = environment.flux.and_then(|flux| flux.object.at(&["spec", "prune"]));
    flags.extend(prune.filter(is_true).map(|at| flag(FlagKind::Prune, None, at)));
    flags
}

/// What names the cluster: the object that holds the way to it.
fn cluster(kube_config: &Item) -> Option<&str> {
    ["secretRef", "configMapRef"].iter().find_map(|reference| kube_config.text_at(&[reference, "name"]))
}

/// What happens after a failed upgrade: without retries and without `remediateLastFailure` nothing; else a rollback, unless the strategy is
/// `uninstall`. With `upgrade.strategy: RetryOnFailure` nothing is remediated.
fn remediation(spec: &Item) -> Option<Flag> {
    let upgrade = spec.get("upgrade")?;
    let remediation = upgrade.get("remediation")?;
    if upgrade.text_at(&["strategy", "name"]) == Some("RetryOnFailure") {
        return None;
    }
    let retries = remediation.get("retries");
    let has_retries = retries.is_some_and(|retries| retries.text() != Some("0") && !retries.is_null());
    let last = remediation.get("remediateLastFailure");
    if !has_retries && last.and_then(Item::text) != Some("true") {
        return None;
    }
    let strategy = remediation.get("strategy");
    if let Some(uninstall) = strategy.filter(|strategy| strategy.text() == Some("uninstall")) {
        return Some(flag(FlagKind::DeleteBeforeReplace, None, uninstall));
    }
    let at = strategy.or(retries.filter(|_| has_retries)).or(last).unwrap_or(remediation);
    Some(flag(FlagKind::RollbackRemediation, retries.and_then(Item::text), at))
}

fn flag(kind: FlagKind, value: Option<&str>, at: &Item) -> Flag {
    Flag { kind, value: value.map(Into::into), place: at.place() }
}
