//! One cause, one finding, and one release, one count: what several environments share is told once, and several commands on one release count once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use milvus_guard::model::declaration::{Declaration, Form, Operation};
use milvus_guard::model::finding::{EvidenceNote, Finding};

/// Names of environments or releases that a note lists.
const MAX_NAMED: usize = 10;

/// How an environment is named beside releases.
const ENVIRONMENT: &str = "environment ";

/// Joins findings that say the same of the same places for several environments or releases, each given with whose it is. The first stands, and names the others.
pub(crate) fn merge(findings: Vec<(Option<String>, Finding)>) -> Vec<Finding> {
    let mut kept: Vec<(Finding, Vec<String>)> = Vec::with_capacity(findings.len());
    let mut known: HashMap<String, usize> = HashMap::new();
    for (whose, finding) in findings {
        let next = kept.len();
        let at = if finding.locations.is_empty() { next } else { *known.entry(key(&finding)).or_insert(next) };
        match kept.get_mut(at) {
            Some((_, all)) => all.extend(whose.filter(|whose| !all.contains(whose))),
            None => kept.push((finding, whose.into_iter().collect())),
        }
    }
    kept.into_iter().map(|(finding, whose)| tell(finding, &whose)).collect()
}

/// What makes two findings one.
fn key(finding: &Finding) -> String {
    let Finding { rule, severity, message, locations, remedy, before, after, waived, baseline, .. } = finding;
    format!("{:?}", (rule, severity, message, locations, remedy, before, after, waived, baseline))
}

fn tell(mut finding: Finding, whose: &[String]) -> Finding {
    if whose.len() > 1 {
        let environments: Option<Vec<&str>> = whose.iter().map(|whose| whose.strip_prefix(ENVIRONMENT)).collect();
        let (what, names) = match environments {
            Some(names) => ("the environments ", names),
            None => ("", whose.iter().map(String::as_str).collect()),
        };
        let mut named = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
        if whose.len() > MAX_NAMED {
            named.push_str(&format!(" and {} more", whose.len() - MAX_NAMED));
        }
        finding.evidence.push(EvidenceNote { text: format!("this holds for {what}{named}"), place: None });
    }
    finding
}

/// Whose a finding is, where several releases may share it: an environment, or a release.
pub(crate) fn whose(declaration: &Declaration) -> Option<String> {
    let of_form = matches!(declaration.identity.form, Form::Umbrella | Form::Helmfile);
    match (declaration.identity.scope.split_once('#').filter(|_| of_form), &declaration.identity.name, &declaration.identity.namespace) {
        (Some((_, environment)), ..) => Some(format!("{ENVIRONMENT}{environment}")),
        (None, None, _) if declaration.identity.form == Form::Umbrella => Some("the chart's own values".to_owned()),
        (None, Some(name), Some(namespace)) => Some(format!("{name} in namespace {namespace}")),
        (None, Some(name), None) => Some(name.to_string()),
        (None, None, _) => None,
    }
}

/// How many releases declarations are about.
pub(crate) fn count_releases<'d>(declarations: impl Iterator<Item = &'d Declaration>) -> usize {
    // Of one name in one place those that name no namespace are those that name the only one.
    type Named = (Form, String, Option<Arc<str>>);
    let mut namespaces: BTreeMap<Named, BTreeSet<Arc<str>>> = BTreeMap::new();
    for declaration in declarations.filter(|declaration| !matches!(declaration.operation, Operation::Pull | Operation::RepoAdd)) {
        let identity = &declaration.identity;
        let of_release = namespaces.entry((identity.form, place(declaration), identity.name.clone())).or_default();
        of_release.extend(identity.namespace.clone());
    }
    namespaces.values().map(|of_release| of_release.len().max(1)).sum()
}

/// What tells releases of one name apart. The scope of a command tells the command too: its kind in parentheses, its number behind `@`.
fn place(declaration: &Declaration) -> String {
    let scope = &declaration.identity.scope;
    if declaration.identity.form != Form::Command {
        return scope.to_string();
    }
    let (job, kinds) = scope.split_once(" (").unwrap_or((scope, ""));
    let job = job.rsplit_once('@').filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit())).map_or(job, |(job, _)| job);
    let context = kinds.split(" (").find_map(|kind| kind.split_once(')')?.0.strip_prefix("context "));
    format!("{job} {}", context.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use milvus_guard::model::catalogue::Catalogue;
    use milvus_guard::model::change::{Change, ChangeKind, Environment};
    use milvus_guard::policy::{self, Policies};
    use milvus_guard::source;
    use milvus_guard::source::memory::MemoryTree;

    use super::*;

    fn count(files: &[(&str, &str)]) -> usize {
        let tree = MemoryTree::new(files.iter().copied());
        count_releases(source::read_tree(&tree, &tree.candidates()).declarations.iter())
    }

    #[test]
    fn what_environments_share_is_told_once_and_names_them() {
        let chart = "apiVersion: v2\nname: search\nversion: 0.1.0\ndependencies:\n- {name: milvus, version: 4.2.58, repository: https://zilliztech.github.io/milvus-helm/}\n";
        let values = "milvus: {proxy: {replicas: 2}}\n";
        let tree = MemoryTree::new([("Chart.yaml", chart), ("values.yaml", values), ("values-dev.yaml", values), ("values-prod.yaml", values)]);
        let found = source::read_tree(&tree, &tree.candidates()).declarations.into_iter().flat_map(|declaration| {
            let whose = whose(&declaration);
            let change = Change::new(None, Some(declaration), ChangeKind::Present, Environment::default(), Catalogue::embedded()).unwrap();
            policy::check(&change, Policies::embedded()).into_iter().map(move |finding| (whose.clone(), finding))
        });
        let locks: Vec<Finding> = merge(found.collect()).into_iter().filter(|finding| &*finding.rule == "MV116").collect();
        assert_eq!(locks.len(), 1);
        assert_eq!(locks[0].evidence.last().unwrap().text, "this holds for the environments dev, prod");
    }

    #[test]
    fn commands_on_one_release_are_one_release() {
        let upgrade = "helm upgrade m zilliztech/milvus --version 4.2.58 -n x\n";
        assert_eq!(count(&[("up.sh", &format!("{upgrade}kubectl rollout status deploy/m -n x\n{upgrade}"))]), 1);
        assert_eq!(count(&[("up.sh", &format!("./migrate.sh -i m -n x -s 2.1.4 -t v2.2.16\n{upgrade}helm rollback m 3 -n x\n"))]), 1);
        assert_eq!(count(&[("up.sh", &format!("helm upgrade m zilliztech/milvus --version 4.2.58 --dry-run\n{upgrade}"))]), 1);
        assert_eq!(count(&[("up.sh", &format!("{upgrade}helm upgrade other zilliztech/milvus --version 4.2.58 -n x\n"))]), 2);
        let contexts = ["a", "b"].map(|context| format!("helm upgrade m zilliztech/milvus --version 4.2.58 -n x --kube-context {context}\n"));
        assert_eq!(count(&[("up.sh", &contexts.concat())]), 2);
    }
}
