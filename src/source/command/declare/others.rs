//! Commands that deploy nothing: rollback, uninstall, pull, repo add, the upstream scripts.

use std::sync::Arc;

use super::{JobDeclarer, added_repository};
use crate::document::shell::{Resolved, Word};
use crate::model::declaration::{Evidence, EvidenceKind, FlagKind, Operation};
use crate::source::command::chart::{Charts, Fetched, Meant};
use crate::source::command::helm::HelmCall;
use crate::source::command::kubectl::{Upstream, UpstreamScript};
use crate::source::command::state::{Happened, Release};
use crate::source::lineage::lineage;

impl JobDeclarer<'_, '_> {
    pub(super) fn rollback(&mut self, command: &Resolved, call: &HelmCall) {
        let Some(name) = call.arguments.get(1).filter(|name| self.is_milvus_release(name)) else { return };
        let mut declaration = self.blank(command, &call.start, Operation::Rollback, "");
        self.complete(&mut declaration, command, call, Operation::Rollback, Some(name), "");
        declaration.identity.scope = self.scope(call, "", "rollback").into();
        self.push(command, declaration);
    }

    pub(super) fn uninstall(&mut self, command: &Resolved, call: &HelmCall) {
        for name in call.arguments.get(1..).unwrap_or_default() {
            if call.switch("dry-run").is_some() {
                continue;
            }
            let release = self.release(Some(name), call, command);
            self.remember(Happened::Uninstall(release), command);
            if self.is_milvus_release(name) {
                let mut declaration = self.blank(command, &call.start, Operation::Uninstall, "");
                self.complete(&mut declaration, command, call, Operation::Uninstall, Some(name), "");
                declaration.flags.retain(|flag| !matches!(flag.kind, FlagKind::AfterUninstall | FlagKind::AfterClaimDeletion));
                declaration.identity.scope = self.scope(call, "", "uninstall").into();
                self.push(command, declaration);
            }
        }
    }

    fn is_milvus_release(&self, name: &Word) -> bool {
        name.text().is_some_and(|name| self.file.releases.contains(&name) || name.contains("milvus") && !name.contains("operator"))
    }

    pub(super) fn pull(&mut self, command: &Resolved, call: &HelmCall) {
        let Some(chart) = call.arguments.get(1) else { return };
        let whereabouts = self.whereabouts(command);
        let nothing = Fetched::default();
        let charts = Charts { file: self.file.file, whereabouts: whereabouts.clone(), repositories: &self.file.repositories, fetched: &nothing, cloned: None };
        let Meant::Milvus(source) = charts.meant(chart, call) else { return };
        let text_of = |option: &str| call.option(option).map(|option| option.value.as_ref().and_then(Word::text));
        // Where the folder is not known, what is in it is known by its name.
        let below = |folder: Option<Option<String>>, name: &str| match folder {
            None => name.to_owned(),
            Some(Some(folder)) => format!("{folder}/{name}"),
            Some(None) => format!("/unknown/{name}"),
        };
        if call.switch("untar").is_some() {
            let folder = below(text_of("untardir"), "milvus");
            let path = if folder.starts_with('/') { folder } else { below(text_of("destination"), &folder) };
            self.state.fetched.insert(&path, &whereabouts, &source);
        }
        if let Some(Some(version)) = text_of("version") {
            self.state.fetched.insert(&below(text_of("destination"), &format!("milvus-{version}.tgz")), &whereabouts, &source);
        }
        let text = chart.text().unwrap_or_default();
        if let Some((alias, _)) = text.split_once('/') {
            self.file.used.insert(alias.to_owned());
        }
        let mut declaration = self.blank(command, &call.start, Operation::Pull, "pull");
        declaration.chart = *source;
        declaration.helm = self.helm_version(call);
        self.push(command, declaration);
    }

    pub(super) fn add_repository(&mut self, command: &Resolved, call: &HelmCall) {
        let Some((alias, url)) = added_repository(call) else { return };
        let file = self.file.file;
        let repository = file.fact(url);
        let Some(of) = repository.known().map(|url| lineage(Some(url), "milvus")).filter(|of| of.is_zilliztech()) else { return };
        let mut declaration = self.blank(command, &call.start, Operation::RepoAdd, &format!("repo add {alias}"));
        declaration.chart.repository = repository;
        declaration.chart.lineage = of;
        self.file.added.push((alias, declaration));
    }

    pub(super) fn upstream(&mut self, command: &Resolved, script: &UpstreamScript) {
        let file = self.file.file;
        let (operation, kind) = match script.which {
            Upstream::RollingUpdate => (Operation::RollingScript, "rolling update"),
            Upstream::Migrate => (Operation::MigrateScript, "migration"),
        };
        let mut declaration = self.blank(command, &script.start, operation, kind);
        declaration.name = script.fact('i', file);
        declaration.namespace = script.fact('n', file);
        declaration.image = script.fact('w', file);
        declaration.identity.name = declaration.name.known().cloned();
        declaration.identity.namespace = declaration.namespace.known().cloned();
        let rolls_back = script.option('o').and_then(Word::text).is_some_and(|operation| operation == "rollback");
        if script.which == Upstream::Migrate && !rolls_back {
            let to = script.option('t').and_then(Word::text).map(Arc::from);
            let target = to.as_deref().map(|to: &str| format!(" to {to}")).unwrap_or_default();
            let text = format!("the metadata is migrated{target} before, in the same script");
            let proof = Evidence { kind: EvidenceKind::MigrateCall { to }, text: text.into(), place: Some(declaration.place.clone()) };
            let written = script.option('i').map(|word| file.word_written(word)).unwrap_or_default();
            let namespace_written = script.option('n').map(|word| file.word_written(word)).unwrap_or_default();
            let release = Release { name: declaration.identity.name.clone(), written, namespace: declaration.identity.namespace.clone(), namespace_written };
            self.state.remember(Happened::Migration(release, proof), declaration.place.clone(), Some(command));
        }
        self.push(command, declaration);
    }
}
