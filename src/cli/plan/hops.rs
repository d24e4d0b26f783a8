//! The hops of a plan as edits of the files that declare the release: chart version, values and settings of the tool, each hop on top of the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::model::declaration::{Declaration, Form};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge;
use milvus_guard::model::plan::{Action, ActionKind, Hop, Plan};
use milvus_guard::model::value::Lookup;
use milvus_guard::source::{self, ReadError, SourceFile, Tree};

use super::draft::{CHART, Draft, flow, wanted};
use super::edit::Diff;
use super::tool;
use crate::cli::emit;
use crate::cli::inputs::Inputs;
use crate::cli::secrets::Secrets;

/// Puts the edit of each hop into its upgrade, and what no edit reaches into its words.
pub(super) fn add_edits(plan: &mut Plan, inputs: &Inputs, declaration: Declaration) {
    let mut edited = Edited { inputs, texts: BTreeMap::new() };
    let mut declaration = declaration;
    for (number, hop) in plan.hops.iter_mut().enumerate() {
        let mut draft = Draft { tree: &edited, files: BTreeMap::new(), by_hand: Vec::new() };
        draft.hop(&declaration, hop);
        let Draft { files, by_hand, .. } = draft;
        let mut texts = edited.texts.clone();
        let mut applied = Vec::new();
        for (file, edits) in files.iter().filter(|(_, edits)| !edits.is_empty()) {
            let Ok(text) = edited.read(file) else { continue };
            let change = edits.apply(&text);
            let after: Arc<str> = change.after.as_str().into();
            texts.insert(Arc::clone(file), Arc::clone(&after));
            applied.push((file, text, after, change));
        }
        let next = Edited { inputs, texts };
        let Some(after) = next.read_again(&declaration).filter(|after| says(after, hop, &by_hand)) else {
            let all = left(hop);
            leave(hop, "No edit of the file leads there for certain. Write it by hand, then plan again from the file as it is then", &all);
            break;
        };
        if let Some(action) = upgrade(hop) {
            let secrets = [&declaration, &after].map(|declaration| Secrets::of(std::iter::once(declaration)));
            let mut diff = Diff::default();
            for (file, before, after, change) in &applied {
                let [of_before, of_after] = &secrets;
                let next = change.diff(file, &of_before.shown(file, before), &of_after.shown(file, after));
                diff.text.push_str(&next.text);
                diff.is_masked |= next.is_masked;
                diff.is_bare |= next.is_bare;
            }
            if diff.is_masked {
                action.text.push_str("\nA line of the edit holds a credential or what a Secret holds: it is masked (`***`), so make that change by hand.");
            } else if diff.is_bare {
                action.text.push_str(
                    "\nThe lines around the edit are left out, since they hold credentials: apply it with `patch -p1` or `git apply --unidiff-zero`.",
                );
            }
            action.diff = (!diff.text.is_empty()).then_some(diff.text);
            if number > 0 && action.diff.is_some() {
                action.text.push_str("\nThe edit fits the file as the hop before leaves it; where you wrote more into it, plan again from the file.");
            }
        }
        if !by_hand.is_empty() {
            leave(hop, "The edit below does not reach these; write them by hand", &by_hand);
        }
        (declaration, edited) = (after, next);
    }
}

fn upgrade(hop: &mut Hop) -> Option<&mut Action> {
    hop.actions.iter_mut().find(|action| action.kind == ActionKind::HelmUpgrade)
}

/// Says what is left to the hand.
fn leave(hop: &mut Hop, why: &str, what: &[(String, String)]) {
    let list: Vec<String> = what.iter().map(|(what, value)| format!("- {what}: {value}")).collect();
    if let Some(action) = upgrade(hop) {
        action.text = format!("{}\n{why}:\n{}", action.text, list.join("\n"));
    }
}

/// All that a hop sets.
fn left(hop: &Hop) -> Vec<(String, String)> {
    let values = wanted(hop).map(|(path, value)| (path.clone(), if value.is_null() { "take it away".to_owned() } else { flow(value) }));
    let tools = hop.actions.iter().flat_map(|action| &action.tool).map(|change| tool::by_hand(*change));
    std::iter::once((CHART.to_owned(), hop.chart.clone())).chain(values).chain(tools).collect()
}

/// Whether an edited file says what the hop wants, but for what is left to the hand.
fn says(after: &Declaration, hop: &Hop, by_hand: &[(String, String)]) -> bool {
    let is_left = |what: &str| by_hand.iter().any(|(left, _)| left == what || left.starts_with(&format!("{what}.")) || what.starts_with(&format!("{left}.")));
    let is_chart = is_left(CHART) || after.identity.form == Form::Values || after.chart.version.known().is_some_and(|version| version.to_string() == hop.chart);
    let Ok(values) = merge::user_values(&after.layers, HelmMajor::Three) else { return false };
    let is_set = |path: &str, value: &serde_json::Value| match values.lookup(path) {
        Lookup::Found(entry) => emit::json(&entry.node) == *value,
        Lookup::Absent => value.is_null(),
        // What cannot be seen may hold a value that is to go; what is seen does not.
        Lookup::Unknown(_) => value.is_null(),
    };
    let tools = hop.actions.iter().flat_map(|action| &action.tool).all(|change| is_left(&tool::by_hand(*change).0) || tool::is_settled(*change, after));
    is_chart && tools && wanted(hop).all(|(path, value)| is_left(path) || is_set(path, value))
}

/// The tree with the edits so far.
struct Edited<'a> {
    inputs: &'a Inputs,
    texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl Tree for Edited<'_> {
    fn paths(&self) -> &[Arc<str>] {
        self.inputs.walked.tree.paths()
    }

    fn read(&self, path: &str) -> Result<Arc<str>, ReadError> {
        self.texts.get(path).map_or_else(|| self.inputs.walked.tree.read(path), |text| Ok(Arc::clone(text)))
    }
}

impl Edited<'_> {
    /// The declaration as it stands in the edited files.
    fn read_again(&self, before: &Declaration) -> Option<Declaration> {
        let files: Vec<SourceFile> = self
            .inputs
            .walked
            .candidates
            .iter()
            .map(|file| self.texts.get(&file.path).map_or_else(|| file.clone(), |text| SourceFile::new(Arc::clone(&file.path), Arc::clone(text))))
            .collect();
        source::read_tree(self, &files)
            .declarations
            .into_iter()
            .find(|after| after.identity == before.identity && after.operation == before.operation && after.path == before.path)
    }
}
