//! From calls to declarations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::chart::{Charts, Meant, Repository};
use super::deletion::{deletion, is_read};
use super::flags::{flags, namespace, strategy};
use super::helm::{HelmCall, Placed};
use super::kubectl::{UpstreamScript, direct_change, flushes};
use super::objects;
use super::paths::Whereabouts;
use super::script_file::ScriptFile;
use super::state::{Happened, JobState, Release, Written};
use super::tools;
use super::values::{Sources, Values};
use super::{Event, Walk, milvus_releases};
use crate::document::script::Kind;
use crate::document::shell::{Piece, Resolved, ResolvedRedirect, Word};
use crate::model::declaration::{Applier, ChartSource, Declaration, Flag, FlagKind, Form, Lineage, NotChecked, NotCheckedKind, Operation};
use crate::model::place::{Fact, Origin, Place, Position};
use crate::source::Reading;
use crate::source::acknowledgement::in_comments;
use crate::source::chart_folder::ChartFolder;
use crate::source::same::deploys_the_same;
use crate::source::umbrella::{declarations_of_chart, proves_zilliztech};

mod others;

/// Declarations of one command that is repeated with other values.
const MAX_REPEATED: usize = 64;
/// Lines of comments above a command that belong to it.
const COMMENT_LINES: usize = 20;
/// How many commands before one are looked at for what it takes from them.
const FEEDING: usize = 16;

/// Declares what the jobs of a file do.
pub(super) fn declare(file: &ScriptFile<'_>, kind: Kind, walks: &[Walk]) -> Reading {
    let mut declarer = Declarer {
        file,
        kind,
        repositories: repositories(file, walks),
        releases: milvus_releases(walks),
        used: BTreeSet::new(),
        added: Vec::new(),
        reading: Reading::default(),
    };
    for walk in walks {
        let first = declarer.reading.declarations.len();
        JobDeclarer { file: &mut declarer, walk, first, state: JobState::default(), made: BTreeMap::new(), recent: Vec::new(), is_validated: false }.run();
    }
    declarer.finish()
}

/// All `helm repo add` of a file.
fn repositories(file: &ScriptFile<'_>, walks: &[Walk]) -> BTreeMap<String, Repository> {
    let mut repositories = BTreeMap::new();
    for event in walks.iter().flat_map(|walk| &walk.events) {
        if let Event::Command(_, Some(call)) = event
            && let Some((alias, url)) = added_repository(call)
        {
            repositories.entry(alias).or_insert_with(|| Repository { url: file.fact(url) });
        }
    }
    repositories
}

fn added_repository(call: &HelmCall) -> Option<(String, &Word)> {
    let texts: Vec<Option<String>> = call.arguments.iter().take(3).map(Word::text).collect();
    match texts.as_slice() {
        [Some(repo), Some(add), Some(alias)] if repo == "repo" && add == "add" => Some((alias.clone(), call.arguments.get(3)?)),
        _ => None,
    }
}

struct Declarer<'a> {
    file: &'a ScriptFile<'a>,
    kind: Kind,
    repositories: BTreeMap<String, Repository>,
    releases: BTreeSet<String>,
    /// Aliases that a chart of this file uses.
    used: BTreeSet<String>,
    /// Repositories that were added, for those that no chart uses.
    added: Vec<(String, Declaration)>,
    reading: Reading,
}

impl Declarer<'_> {
    /// How many declarations, gaps and repositories there are.
    fn lengths(&self) -> [usize; 3] {
        [self.reading.declarations.len(), self.reading.gaps.len(), self.added.len()]
    }

    /// Forgets all that came after.
    fn cut(&mut self, [declarations, gaps, added]: [usize; 3]) {
        self.reading.declarations.truncate(declarations);
        self.reading.gaps.truncate(gaps);
        self.added.truncate(added);
    }

    fn finish(mut self) -> Reading {
        let used = &self.used;
        self.reading.declarations.extend(self.added.into_iter().filter(|(alias, _)| !used.contains(alias)).map(|(_, declaration)| declaration));
        self.reading
    }
}

/// Scope, namespace and name of a release.
type ReleaseKey = (Arc<str>, Option<Arc<str>>, Option<Arc<str>>);

/// One job.
struct JobDeclarer<'d, 'a> {
    file: &'d mut Declarer<'a>,
    walk: &'d Walk,
    /// How many declarations the jobs before made.
    first: usize,
    state: JobState,
    /// What was declared at each place: a loop or a function that repeats a command declares it once.
    made: BTreeMap<Position, Vec<usize>>,
    /// The commands so far.
    recent: Vec<&'d Resolved>,
    /// What the command prints goes to a program that only looks at it.
    is_validated: bool,
}

impl<'d> JobDeclarer<'d, '_> {
    fn run(mut self) {
        let script = self.file.file;
        let mut before: Option<&'d Resolved> = None;
        let before_all = self.file.lengths();
        for (at, event) in self.walk.events.iter().enumerate() {
            if at == self.walk.leading && at > 0 {
                // What leads here is declared where it stands.
                self.file.cut(before_all);
                self.made.clear();
            }
            match event {
                Event::Under(conditions) => self.state.under.clone_from(conditions),
                Event::Variables(environment) => tools::observe_variables(environment, script, &mut self.state),
                Event::Action(name, inputs) => tools::observe_action(name, inputs, script, &mut self.state),
                Event::Image(image) => tools::observe_image(image, script, &mut self.state),
                Event::Command(command, call) => {
                    tools::observe_command(command, script, &mut self.state);
                    self.is_validated = command.redirects.is_empty() && self.walk.events.get(at + 1).is_some_and(validates);
                    self.command(command, call.as_deref(), before);
                    before = Some(command);
                }
            }
        }
        self.leave_out_rehearsals();
        self.number();
    }

    /// `helm template` and `--dry-run` before the same command in earnest say nothing more than that one.
    fn leave_out_rehearsals(&mut self) {
        let all = &mut self.file.reading.declarations;
        let is_rehearsal = |d: &Declaration| d.operation == Operation::Template || d.flags.iter().any(|flag| flag.kind == FlagKind::DryRun);
        let deploys = |d: &Declaration| matches!(d.operation, Operation::Install | Operation::Upgrade | Operation::UpgradeInstall) && !is_rehearsal(d);
        let mine = all.split_off(self.first.min(all.len()));
        let in_earnest: Vec<Declaration> = mine.iter().filter(|d| deploys(d)).cloned().collect();
        let is_same_place = |d: &Declaration, real: &Declaration| d.identity.scope.trim_end_matches(" (dry run)") == &*real.identity.scope;
        let is_repeated =
            |d: &Declaration| in_earnest.iter().any(|real| real.place.start > d.place.start && is_same_place(d, real) && deploys_the_same(d, real));
        all.extend(mine.into_iter().filter(|d| !is_rehearsal(d) || !is_repeated(d)));
    }

    /// Of several commands for one release in a job each after the first is told apart by its number.
    fn number(&mut self) {
        let mut counts: BTreeMap<ReleaseKey, usize> = BTreeMap::new();
        for Declaration { identity, .. } in self.file.reading.declarations.iter_mut().skip(self.first) {
            let count = counts.entry((identity.scope.clone(), identity.namespace.clone(), identity.name.clone())).or_default();
            *count += 1;
            if *count > 1 {
                identity.scope = format!("{}@{count}", identity.scope).into();
            }
        }
    }

    fn command(&mut self, command: &'d Resolved, call: Option<&'d HelmCall>, before: Option<&'d Resolved>) {
        let name = command.words.first().and_then(Word::text).unwrap_or_default();
        if matches!(name.as_str(), "exit" | "return") {
            self.state.leave(command);
        }
        self.remember_written(command);
        if flushes(command) {
            self.remember(Happened::Flush, command);
        }
        if let Some(deletion) = deletion(command, &self.feeding(command), self.file.file) {
            self.remember(Happened::Deletion(deletion), command);
        }
        self.recent.push(command);
        if let Some(url) = command.words.get(2..).unwrap_or_default().iter().find(|word| name == "git" && word.known_start().contains("milvus-helm")) {
            self.state.cloned = Some(self.file.file.fact(url));
        }
        if objects::is_applied(command)
            && let Some(Written::Text(text)) = self.input(command, before)
        {
            self.file.reading.extend(objects::read(&text, self.file.file));
        }
        if let Some(call) = call {
            let input = self.input(command, before);
            self.helm(command, call, input.as_ref());
        } else if let Some(script) = UpstreamScript::find(command, before) {
            self.upstream(command, &script);
        } else if let Some(direct) = direct_change(command, self.file.file) {
            let mut declaration = self.blank(command, &direct.start, Operation::DirectChange, "direct change");
            declaration.identity.namespace = direct.namespace.known().cloned();
            declaration.namespace = direct.namespace;
            declaration.image = direct.image;
            self.push(command, declaration);
        }
    }

    fn remember(&mut self, what: Happened, command: &Resolved) {
        self.state.remember(what, self.file.file.place(&command.bytes), Some(command));
    }

    /// The commands whose output a command takes: those before it in its pipe, and those in its `$( )`.
    fn feeding(&self, command: &Resolved) -> Vec<&'d Resolved> {
        let recent = self.recent.iter().rev().take(FEEDING);
        let mut goes_on = command.piped;
        let in_pipe = recent.clone().take_while(move |before| {
            let is_in = goes_on;
            goes_on = is_in && before.piped;
            is_in
        });
        let unknown = || command.words.iter().flat_map(|word| &word.pieces).filter(|piece| matches!(piece, Piece::Unknown { .. }));
        let is_inside = |before: &&&Resolved| unknown().any(|piece| piece.bytes().start <= before.bytes.start && before.bytes.end <= piece.bytes().end);
        // What a loop reads comes from a command before it.
        let reads = command.words.iter().any(is_read);
        in_pipe.chain(recent.clone().filter(move |before| reads || is_inside(before))).copied().collect()
    }

    /// What a command reads: its own here-document, or that of the command before it.
    fn input(&self, command: &Resolved, before: Option<&Resolved>) -> Option<Written> {
        let own = command.redirects.iter().find_map(|redirect| match redirect {
            ResolvedRedirect::Heredoc(text) => Some(Written::Text(text.clone())),
            ResolvedRedirect::From(word) => word.text().map(Written::Copy),
            _ => None,
        });
        let piped = || before.filter(|_| command.piped).map(written_by);
        own.or_else(piped)
    }

    fn remember_written(&mut self, command: &Resolved) {
        let tee = command.words.first().and_then(Word::text).as_deref() == Some("tee");
        let target = command.redirects.iter().find_map(|redirect| match redirect {
            ResolvedRedirect::To(word) => Some((word, false)),
            ResolvedRedirect::AppendTo(word) => Some((word, true)),
            _ => None,
        });
        let by_tee = || command.words.iter().skip(1).find(|word| tee && !word.known_start().starts_with('-')).map(|word| (word, false));
        let target = by_tee().or(target);
        let Some((path, appends)) = target.and_then(|(word, appends)| Some((word.text()?, appends))) else { return };
        let written = match written_by(command) {
            _ if appends && self.state.written.contains_key(&path) => Written::Unknown("the script writes it in several parts"),
            _ if appends && self.whereabouts(command).file(&path, self.file.file.context).is_some() => Written::Unknown("the script adds to it when it runs"),
            written => written,
        };
        self.state.written.insert(path.trim_start_matches("./").to_owned(), written);
    }

    fn whereabouts<'w>(&self, command: &'w Resolved) -> Whereabouts<'w>
    where
        'd: 'w,
    {
        Whereabouts { script_folder: self.file.file.source.folder(), starts_at_root: self.file.kind == Kind::Pipeline, folder: command.folder.as_ref() }
    }

    fn helm(&mut self, command: &'d Resolved, call: &'d HelmCall, input: Option<&Written>) {
        if call.switch("help").is_some() {
            return;
        }
        match call.verb().as_deref() {
            Some("install") => self.deploy(command, call, input, Operation::Install),
            Some("upgrade") if call.switch("install").is_some() => self.deploy(command, call, input, Operation::UpgradeInstall),
            Some("upgrade") => self.deploy(command, call, input, Operation::Upgrade),
            Some("template") => self.deploy(command, call, input, Operation::Template),
            Some("rollback") => self.rollback(command, call),
            Some("uninstall" | "delete" | "del" | "un") => self.uninstall(command, call),
            Some("pull" | "fetch") => self.pull(command, call),
            Some("repo") => self.add_repository(command, call),
            Some(_) => {}
            None => self.unknown_call(command, "which Helm command this is"),
        }
    }

    /// A call that may be about Milvus but cannot be read.
    fn unknown_call(&mut self, command: &Resolved, what: &str) {
        let file = self.file.file;
        let speaks = file.written(&command.bytes).to_ascii_lowercase().contains("milvus")
            || command.words.iter().any(|word| word.known_start().to_ascii_lowercase().contains("milvus"));
        if speaks {
            let reason = format!("{what} is not known here: the command is not checked; write it out, or give it a default");
            let gap = NotChecked::at(file.place(&command.bytes), NotCheckedKind::PartlyChecked, &reason);
            if self.file.reading.gaps.last() != Some(&gap) {
                self.file.reading.gaps.push(gap);
            }
        }
    }

    fn deploy(&mut self, command: &'d Resolved, call: &'d HelmCall, input: Option<&Written>, operation: Operation) {
        let file = self.file.file;
        let Some(Placed { name, chart, extra }) = call.release_and_chart(matches!(operation, Operation::Install | Operation::Template)) else {
            self.unknown_call(command, "which chart it uses");
            return;
        };
        let whereabouts = self.whereabouts(command);
        let charts = Charts {
            file,
            whereabouts: whereabouts.clone(),
            repositories: &self.file.repositories,
            fetched: &self.state.fetched,
            cloned: self.state.cloned.as_ref(),
        };
        let meant = charts.meant(chart, call);
        if let Meant::Other = meant {
            return;
        }
        if let Meant::Unknown = meant {
            self.unknown_call(command, &format!("which chart `{}` names", file.expression(chart)));
            return;
        }
        let written = |path: &str| self.state.written.get(path.trim_start_matches("./"));
        let values = Sources { file, whereabouts, written: &written, input }.read(call);
        let mut made = match meant {
            Meant::Milvus(source) => {
                let mut declaration = Declaration::blank(Form::Command, "", file.place(&call.start));
                declaration.chart = *source;
                if declaration.chart.lineage == Lineage::Unknown && proves_zilliztech(&values.layers) {
                    declaration.chart.lineage = Lineage::Zilliztech;
                }
                declaration.layers.clone_from(&values.layers);
                vec![declaration]
            }
            Meant::Folder(folder) => self.of_folder(&folder, chart, &values),
            Meant::Other | Meant::Unknown => Vec::new(),
        };
        if let Some((alias, _)) = chart.text().as_deref().and_then(|text| text.split_once('/')).filter(|_| !made.is_empty()) {
            self.file.used.insert(alias.to_owned());
        }
        let several = made.len() > 1;
        for (i, declaration) in made.iter_mut().enumerate() {
            let part = if several { format!("/{i}") } else { String::new() };
            self.complete(declaration, command, call, operation, name, &part);
            declaration.strategy = strategy(call, operation, !values.are_empty());
            declaration.gaps.extend(values.gaps.iter().cloned());
            self.add_unknown_arguments(declaration, &extra);
        }
        for declaration in made {
            self.push(command, declaration);
        }
    }

    /// What a chart of the tree makes of the values.
    fn of_folder(&self, folder: &str, chart: &Word, values: &Values) -> Vec<Declaration> {
        let file = self.file.file;
        let declarations = declarations_of_chart(folder, &values.layers, file.context);
        let is_called_milvus = || ChartFolder::load(folder, file.context).is_some_and(|chart| chart.name() == Some("milvus"));
        if declarations.is_empty() && is_called_milvus() {
            let mut declaration = Declaration::blank(Form::Command, "", file.place(&chart.bytes));
            let source = ChartSource {
                repository: Fact::Absent,
                name: file.fact(chart),
                version: Fact::Absent,
                lineage: Lineage::Wrapper,
                vendored: Some(folder.into()),
            };
            declaration.chart = source;
            declaration.layers.clone_from(&values.layers);
            return vec![declaration];
        }
        declarations
    }

    fn complete(&mut self, declaration: &mut Declaration, command: &Resolved, call: &HelmCall, operation: Operation, name: Option<&Word>, part: &str) {
        let file = self.file.file;
        declaration.path = file.source.path.clone();
        declaration.place = file.place(&call.start);
        declaration.name = name.map_or(Fact::Absent, |word| file.fact(word));
        declaration.namespace = namespace(call, command, file);
        declaration.operation = operation;
        declaration.applier = if operation == Operation::Template { Applier::Template } else { Applier::HelmUpgrade };
        declaration.source_only = false;
        declaration.strategy = strategy(call, operation, false);
        declaration.flags = flags(call, file);
        if operation == Operation::Template && self.is_validated {
            declaration.flags.push(Flag { kind: FlagKind::DryRun, value: None, place: file.place(&call.start) });
        }
        declaration.helm = self.helm_version(call);
        declaration.kubernetes = match call.option("kube-version").and_then(|option| option.value.as_ref()) {
            Some(word) => file.fact(word),
            None => self.state.kubernetes.clone(),
        };
        declaration.identity.form = Form::Command;
        declaration.identity.name = declaration.name.known().cloned();
        declaration.identity.namespace = declaration.namespace.known().cloned();
        let dry_run = call.switch("dry-run").is_some();
        declaration.identity.scope = self.scope(call, part, if dry_run { "dry run" } else { "" }).into();
        self.add_history(declaration, command, call, name);
    }

    /// Arguments that are not known may set anything; with them it is not known either that no values file is given.
    fn add_unknown_arguments(&self, declaration: &mut Declaration, extra: &[&Word]) {
        let file = self.file.file;
        for word in extra {
            let written = file.expression(word);
            // A word without any expansion is one that a condition puts into an array of arguments.
            let reason = if written.contains(['$', '{', '`', '%', '@']) {
                format!("the arguments in `{written}` are not known here: what they set is not checked")
            } else {
                format!("whether `{written}` is given depends on a condition of the script: what it sets is not checked")
            };
            declaration.gaps.push(NotChecked::at(file.place(&word.bytes), NotCheckedKind::PartlyChecked, &reason));
        }
        if !extra.is_empty() {
            declaration.flags.retain(|flag| flag.kind != FlagKind::Set);
        }
    }

    /// What happened before in the same job.
    fn add_history(&self, declaration: &mut Declaration, command: &Resolved, call: &HelmCall, name: Option<&Word>) {
        let release = self.release(name, call, command);
        let operation = declaration.operation;
        let mut add = |kind: FlagKind, place: &Place, value: Option<&str>| {
            if !declaration.flags.iter().any(|flag| flag.kind == kind) {
                declaration.flags.push(Flag { kind, value: value.map(Arc::from), place: place.clone() });
            }
        };
        if self.walk.automatic {
            add(FlagKind::Pipeline, &self.file.file.place(&call.start), None);
        }
        let is_flushed = self.state.leading_to(command).any(|before| matches!(before.what, Happened::Flush));
        let mut evidence = Vec::new();
        for before in self.state.leading_to(command) {
            match &before.what {
                Happened::Cluster => {
                    let is_sure = before.is_certain(command, &self.state.under);
                    add(FlagKind::ThrowAwayCluster, &before.place, (!is_sure).then_some("in some cases"));
                }
                Happened::Flush => add(FlagKind::AfterFlush, &before.place, None),
                Happened::Uninstall(gone) if gone.is_same(&release) && operation != Operation::Template => add(FlagKind::AfterUninstall, &before.place, None),
                Happened::Deletion(deletion) if operation != Operation::Template => {
                    if let Some(what) = deletion.hits(&release, is_flushed) {
                        add(FlagKind::AfterClaimDeletion, &before.place, Some(what));
                    }
                }
                Happened::Migration(migrated, proof) if migrated.is_same(&release) => evidence.push(proof.clone()),
                Happened::Uninstall(_) | Happened::Migration(..) | Happened::Deletion(_) => {}
            }
        }
        declaration.evidence.extend(evidence);
    }

    fn helm_version(&self, call: &HelmCall) -> Fact<Arc<str>> {
        let file = self.file.file;
        if let Some(tag) = &call.image_tag {
            return file.fact(tag);
        }
        let helm2 = call.option("name").or_else(|| call.option("purge")).map(|option| &option.bytes).or(call.is_helm2.then_some(&call.start));
        match helm2 {
            Some(bytes) => Fact::Known("2".into(), Origin::At(file.place(bytes))),
            None => self.state.helm.clone(),
        }
    }

    fn release(&self, name: Option<&Word>, call: &HelmCall, command: &Resolved) -> Release {
        let file = self.file.file;
        let written_of = |word: Option<&Word>| word.map(|word| file.word_written(word)).unwrap_or_default();
        Release {
            name: name.and_then(Word::text).map(Arc::from),
            written: written_of(name),
            namespace: namespace(call, command, file).known().cloned(),
            namespace_written: written_of(call.option("namespace").and_then(|option| option.value.as_ref())),
        }
    }

    fn scope(&self, call: &HelmCall, part: &str, kind: &str) -> String {
        let mut scope = self.base_scope();
        scope.push_str(part);
        if let Some(context) = call.option("kube-context").and_then(|option| option.value.as_ref()).and_then(Word::text) {
            scope.push_str(&format!(" (context {context})"));
        }
        if !kind.is_empty() {
            scope.push_str(&format!(" ({kind})"));
        }
        scope
    }

    fn base_scope(&self) -> String {
        match &self.walk.name {
            Some(job) => format!("{}#{job}", self.file.file.source.path),
            None => self.file.file.source.path.to_string(),
        }
    }

    fn blank(&self, command: &Resolved, start: &Range<usize>, operation: Operation, kind: &str) -> Declaration {
        let file = self.file.file;
        let mut declaration =
            Declaration::blank(Form::Command, &format!("{} ({kind})", self.base_scope()), file.place(if start.is_empty() { &command.bytes } else { start }));
        declaration.operation = operation;
        declaration
    }

    /// Adds a declaration.
    fn push(&mut self, command: &Resolved, mut declaration: Declaration) {
        let here = self.made.entry(declaration.place.start).or_default();
        let all = &self.file.reading.declarations;
        let repeats = |before: &Declaration| {
            let same_release = before.operation == declaration.operation && before.name == declaration.name && before.namespace == declaration.namespace;
            same_release && before.chart == declaration.chart && before.layers == declaration.layers && before.flags == declaration.flags
        };
        if here.iter().filter_map(|i| all.get(*i)).any(repeats) {
            return;
        }
        if here.len() >= MAX_REPEATED {
            let reason = format!("this command deploys more than {MAX_REPEATED} releases in loops: those after the first {MAX_REPEATED} are not looked at");
            let gap = NotChecked::at(declaration.place, NotCheckedKind::LimitsExceeded, &reason);
            if !self.file.reading.gaps.contains(&gap) {
                self.file.reading.gaps.push(gap);
            }
            return;
        }
        here.push(all.len());
        declaration.evidence.extend(in_comments(self.file.file.source, &self.with_comments(command)));
        self.file.reading.declarations.push(declaration);
    }

    /// The lines of a command and of the comments right above it.
    fn with_comments(&self, command: &Resolved) -> Range<usize> {
        let file = self.file.file;
        let mut range = file.whole_lines(&command.bytes);
        let text = file.lines.source();
        for _ in 0..COMMENT_LINES {
            let Some(above) = text.get(..range.start.saturating_sub(1)).filter(|_| range.start > 0) else { break };
            let start = above.rfind('\n').map_or(0, |i| i + 1);
            let line = above.get(start..).unwrap_or_default().trim_start().trim_start_matches(['-', '@']).trim_start();
            if !line.starts_with('#') && !line.starts_with("//") {
                break;
            }
            range.start = start;
        }
        range
    }
}

/// Whether a program that checks manifests and applies none reads what the command before it prints.
fn validates(next: &Event) -> bool {
    const VALIDATORS: [&str; 10] = ["kubeconform", "kubeval", "kube-linter", "kube-score", "conftest", "polaris", "pluto", "kubent", "yamllint", "datree"];
    let Event::Command(command, _) = next else { return false };
    command.piped && command.words.first().and_then(Word::text).is_some_and(|name| VALIDATORS.contains(&name.as_str()))
}

/// What a command writes to its output, as far as the reader of files needs it.
fn written_by(command: &Resolved) -> Written {
    let name = command.words.first().and_then(Word::text).unwrap_or_default();
    for redirect in &command.redirects {
        match redirect {
            ResolvedRedirect::Heredoc(text) if matches!(name.as_str(), "cat" | "tee" | "" | "envsubst") => return Written::Text(text.clone()),
            ResolvedRedirect::From(word) if matches!(name.as_str(), "cat" | "envsubst") => {
                if let Some(path) = word.text() {
                    return Written::Copy(path);
                }
            }
            _ => {}
        }
    }
    let only_file = command.words.get(1).filter(|_| command.words.len() == 2).and_then(Word::text);
    match (name.as_str(), only_file) {
        ("cat", Some(path)) if !path.starts_with('-') => Written::Copy(path),
        _ => Written::Unknown("a command of the script makes it when it runs"),
    }
}
