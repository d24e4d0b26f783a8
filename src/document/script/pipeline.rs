//! Workflows of GitHub (also composite actions), GitLab and CircleCI, recognised by their structure.

use std::collections::HashSet;
use std::sync::Arc;

use super::condition::{self, Condition};
use super::scalar::{self, extract};
use super::{Job, Part, Setting, Step};
use crate::document::extract::Extract;
use crate::document::shell::{Outer, REPOSITORY_ROOT, Value};
use crate::document::yaml::{Kind, Node};

/// Templates of GitLab jobs that extend templates.
const EXTENDS_LIMIT: usize = 8;
/// Lists in lists of scripts.
const LIST_DEPTH: usize = 8;

/// Keys of a GitLab job that hold commands.
const SCRIPTS: [&str; 3] = ["before_script", "script", "after_script"];

/// Keys of a GitLab file that are no jobs.
const GITLAB_KEYS: [&str; 11] =
    ["stages", "variables", "include", "workflow", "image", "services", "cache", "pages:deploy", "before_script", "after_script", "spec"];

pub(super) fn jobs(source: &str, root: &Node) -> Vec<Job> {
    let file = File { source };
    if root.at(&["runs", "steps"]).is_some() {
        return file.composite(root);
    }
    let steps = |job: &Node| job.get("steps").is_some_and(|steps| !steps.items().is_empty());
    let has_jobs = root.get("jobs").is_some_and(|jobs| jobs.entries().iter().any(|(_, job)| steps(job)));
    let has_commands = root.get("commands").is_some_and(|commands| commands.entries().iter().any(|(_, command)| steps(command)));
    if has_jobs || has_commands {
        return file.with_steps(root);
    }
    if root.get("apiVersion").is_none() && root.entries().iter().any(|(_, job)| job.get("script").is_some_and(is_script)) {
        return file.gitlab(root);
    }
    Vec::new()
}

/// What must hold for a step to run; the expression as a whole where it cannot be taken apart.
fn conditions(step: &Node) -> Vec<Condition> {
    let Some(expression) = step.get("if").and_then(written) else { return Vec::new() };
    let parts = condition::parse(expression);
    if parts.is_empty() { vec![Condition::on(expression, true)] } else { parts }
}

fn is_script(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { .. } => true,
        Kind::Sequence(items) => items.iter().all(|item| !matches!(item.kind, Kind::Mapping(_))),
        Kind::Mapping(_) => false,
    }
}

/// What is set around a script.
#[derive(Default)]
struct Settings {
    outer: Outer,
    folder: Option<Value>,
}

impl Settings {
    /// Ends this level.
    fn finish(self) -> Level {
        Level { outer: Arc::new(self.outer), folder: self.folder }
    }

    /// Adds environment variables; a later one wins.
    fn add(&mut self, file: &File<'_>, entries: Option<&Node>) {
        for (key, value) in entries.map(Node::entries).unwrap_or_default() {
            let Some(name) = key.text() else { continue };
            // GitLab and others allow a table with `value` or `default`.
            let value = value.get("value").or_else(|| value.get("default")).unwrap_or(value);
            if let Some(value) = file.value(value, &self.outer) {
                self.outer.set_template(&format!("env.{name}"), value.clone());
                self.outer.set(name, value);
            }
        }
    }

    /// Adds inputs with their defaults: what holds where nobody says otherwise.
    fn add_inputs(&mut self, file: &File<'_>, inputs: Option<&Node>, prefixes: &[&str]) {
        for (key, input) in inputs.map(Node::entries).unwrap_or_default() {
            if let (Some(name), Some(default)) = (key.text(), input.get("default"))
                && let Some(value) = file.value(default, &self.outer)
            {
                for prefix in prefixes {
                    self.outer.set_template(&format!("{prefix}.{name}"), value.clone());
                }
            }
        }
    }
}

/// Settings that are complete; scripts share them.
struct Level {
    outer: Arc<Outer>,
    folder: Option<Value>,
}

impl Level {
    fn inside(&self) -> Settings {
        Settings { outer: Outer::inside(&self.outer), folder: self.folder.clone() }
    }

    fn step(&self, script: Extract, fresh: bool, conditions: Vec<Condition>) -> Part {
        let script = scalar::filled_in(script, &self.outer);
        Part::Script(Box::new(Step { script, outer: Arc::clone(&self.outer), folder: self.folder.clone(), fresh, conditions }))
    }
}

struct File<'s> {
    source: &'s str,
}

impl File<'_> {
    fn value(&self, node: &Node, outer: &Outer) -> Option<Value> {
        scalar::value(self.source, node, outer)
    }

    fn setting(&self, node: &Node) -> Option<Setting> {
        let text = extract(self.source, node)?;
        let bytes = text.source_bytes(&(0..text.text().len()));
        Some(Setting { text: text.text().to_owned(), bytes })
    }

    fn base() -> Settings {
        let root = Value::known(&String::from(REPOSITORY_ROOT), 0..0);
        let mut settings = Settings::default();
        settings.outer.set_template("github.workspace", root.clone());
        for name in ["GITHUB_WORKSPACE", "CI_PROJECT_DIR", "WORKSPACE"] {
            settings.outer.set(name, root.clone());
        }
        settings
    }

    /// A GitHub action made of steps.
    fn composite(&self, root: &Node) -> Vec<Job> {
        let mut settings = Self::base();
        settings.add_inputs(self, root.get("inputs"), &["inputs"]);
        let mut job = Job::default();
        self.steps(root.at(&["runs", "steps"]), &settings.finish(), &[], &mut job);
        vec![job]
    }

    /// GitHub workflows and CircleCI: jobs with steps.
    fn with_steps(&self, root: &Node) -> Vec<Job> {
        let is_github = root.get("on").or_else(|| root.get("true")).is_some()
            || root.get("jobs").is_some_and(|jobs| jobs.entries().iter().any(|(_, j)| j.get("runs-on").is_some()));
        let mut settings = Self::base();
        for event in ["workflow_dispatch", "workflow_call"] {
            settings.add_inputs(self, root.at(&["on", event, "inputs"]), &["inputs", "github.event.inputs"]);
        }
        settings.add_inputs(self, root.get("parameters"), &["pipeline.parameters"]);
        settings.add(self, root.get("env"));
        self.set_folder(&mut settings, root.at(&["defaults", "run", "working-directory"]));
        let automatic = if is_github { root.get("on").is_none_or(runs_by_itself) } else { true };
        let level = settings.finish();
        let commands = root.get("commands").map(Node::entries).unwrap_or_default();
        let jobs = root.get("jobs").map(Node::entries).unwrap_or_default();
        let mut found = Vec::new();
        for (key, node) in jobs.iter().chain(commands) {
            let mut settings = level.inside();
            settings.add_inputs(self, node.get("parameters"), &["parameters"]);
            self.add_matrix(&mut settings, node.at(&["strategy", "matrix"]));
            settings.add(self, node.get("env"));
            settings.add(self, node.get("environment").filter(|_| !is_github));
            self.set_folder(&mut settings, node.at(&["defaults", "run", "working-directory"]).or_else(|| node.get("working_directory")));
            let mut job = Job { name: key.text().map(Into::into), automatic, ..Job::default() };
            self.images(node, &mut job);
            self.steps(node.get("steps"), &settings.finish(), &[], &mut job);
            found.push(job);
        }
        found
    }

    /// A matrix with one value for a key makes the key known.
    fn add_matrix(&self, settings: &mut Settings, matrix: Option<&Node>) {
        for (key, values) in matrix.map(Node::entries).unwrap_or_default() {
            if let (Some(name), [only]) = (key.text(), values.items())
                && let Some(value) = self.value(only, &settings.outer)
            {
                settings.outer.set_template(&format!("matrix.{name}"), value);
            }
        }
    }

    fn set_folder(&self, settings: &mut Settings, folder: Option<&Node>) {
        if let Some(value) = folder.and_then(|node| self.value(node, &settings.outer)) {
            settings.folder = Some(value);
        }
    }

    fn images(&self, node: &Node, job: &mut Job) {
        let container = node.get("container").or_else(|| node.get("image"));
        let docker = node.get("docker").map(Node::items).unwrap_or_default();
        for image in container.into_iter().chain(docker) {
            let image = image.get("image").or_else(|| image.get("name")).unwrap_or(image);
            job.parts.extend(self.setting(image).map(Part::Image));
        }
    }

    /// `under` is what must hold for all of the steps.
    fn steps(&self, steps: Option<&Node>, outer: &Level, under: &[Condition], job: &mut Job) {
        for step in steps.map(Node::items).unwrap_or_default() {
            if let Some(name) = step.get("uses") {
                let inputs = step.get("with").map(Node::entries).unwrap_or_default();
                let inputs = inputs.iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), self.value(value, &outer.outer)?))).collect();
                job.parts.extend(self.setting(name).map(|name| Part::Action { name, inputs, conditions: conditions(step) }));
            }
            let Some(run) = step.get("run") else {
                // CircleCI: steps under a condition.
                for (key, holds) in [("when", true), ("unless", false)] {
                    let written = step.at(&[key, "condition"]).and_then(|node| self.source.get(node.span.start.byte..node.span.end.byte));
                    let under: Vec<Condition> = written.map(|text| Condition::on(text, holds)).into_iter().collect();
                    self.nested_steps(step.at(&[key, "steps"]), outer, &under, job);
                }
                continue;
            };
            let mut settings = outer.inside();
            settings.add(self, step.get("env"));
            settings.add(self, run.get("environment"));
            self.set_folder(&mut settings, step.get("working-directory").or_else(|| run.get("working_directory")));
            let is_shell = step
                .get("shell")
                .or_else(|| run.get("shell"))
                .and_then(Node::text)
                .is_none_or(|shell| shell.contains("sh") && !shell.contains("pwsh") && !shell.contains("powershell"));
            let command = run.get("command").unwrap_or(run);
            if is_shell && let Some(script) = extract(self.source, command) {
                job.parts.push(settings.finish().step(script, true, [conditions(step).as_slice(), under].concat()));
            }
        }
    }

    fn nested_steps(&self, steps: Option<&Node>, outer: &Level, under: &[Condition], job: &mut Job) {
        // One level: conditions in conditions are not written.
        if let Some(steps) = steps
            && steps.items().iter().all(|step| step.get("when").is_none() && step.get("unless").is_none())
        {
            self.steps(Some(steps), outer, under, job);
        }
    }

    fn gitlab(&self, root: &Node) -> Vec<Job> {
        let mut settings = Self::base();
        settings.add(self, root.get("variables"));
        let level = settings.finish();
        let default = root.get("default");
        let extended: HashSet<&str> = root.entries().iter().flat_map(|(_, job)| extends(job)).collect();
        let lines_of_jobs =
            || root.entries().iter().filter(|(key, _)| key.text().is_some_and(|name| !name.starts_with('.'))).flat_map(|(_, job)| lines_of(root, job));
        let lines_that_run: HashSet<usize> = lines_of_jobs().collect();
        let mut found = Vec::new();
        for (key, node) in root.entries() {
            let Some(name) = key.text() else { continue };
            // A hidden job runs where others take it over, by `extends`, an anchor or `!reference`.
            let is_template = name.starts_with('.') && (extended.contains(name) || lines_of(root, node).any(|line| lines_that_run.contains(&line)));
            if GITLAB_KEYS.contains(&name) || name == "default" || is_template {
                continue;
            }
            let chain = chain(root, node);
            let said = |key: &str| chain.iter().find_map(|job| job.get(key)).or_else(|| default.and_then(|d| d.get(key))).or_else(|| root.get(key));
            let Some(script) = chain.iter().find_map(|job| job.get("script")) else { continue };
            let mut settings = level.inside();
            for job in chain.iter().rev() {
                settings.add(self, job.get("variables"));
            }
            let manual = said("when").and_then(Node::text) == Some("manual")
                || said("rules").is_some_and(|rules| {
                    !rules.items().is_empty() && rules.items().iter().all(|r| matches!(r.get("when").and_then(Node::text), Some("manual" | "never")))
                });
            let automatic = !manual && !name.starts_with('.');
            let mut job = Job { name: Some(name.into()), automatic, ..Job::default() };
            if let Some(image) = said("image") {
                let image = image.get("name").unwrap_or(image);
                job.parts.extend(self.setting(image).map(Part::Image));
            }
            let settings = settings.finish();
            // Commands of one job share a shell; what comes after has its own.
            let mut first = true;
            for (node, fresh) in [(said("before_script"), false), (Some(script), false), (said("after_script"), true)] {
                let Some(node) = node else { continue };
                let mut fresh = fresh || first;
                self.lines(root, node, &settings, &mut fresh, &mut job, 0);
                first = false;
            }
            found.push(job);
        }
        found
    }

    fn lines(&self, root: &Node, node: &Node, settings: &Level, fresh: &mut bool, job: &mut Job, depth: usize) {
        if depth < LIST_DEPTH {
            match referenced(root, node) {
                Some(node) => self.lines(root, node, settings, fresh, job, depth + 1),
                None => node.items().iter().for_each(|item| self.lines(root, item, settings, fresh, job, depth + 1)),
            }
        }
        if let Some(script) = extract(self.source, node) {
            job.parts.push(settings.step(script, std::mem::take(fresh), Vec::new()));
        }
    }
}

/// The text of a scalar, also where an expression stands in it.
fn written(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Sequence(_) | Kind::Mapping(_) => None,
    }
}

/// Whether the events of a GitHub workflow start it without a person.
fn runs_by_itself(on: &Node) -> bool {
    let automatic = |name: &str| matches!(name, "push" | "pull_request" | "pull_request_target" | "schedule" | "merge_group" | "workflow_run");
    match &on.kind {
        Kind::Scalar { .. } => on.text().is_none_or(automatic),
        Kind::Sequence(items) => items.iter().any(|item| item.text().is_none_or(automatic)),
        Kind::Mapping(entries) => entries.iter().any(|(key, _)| key.text().is_none_or(automatic)),
    }
}

/// What `!reference [.job, script]` names.
fn referenced<'n>(root: &'n Node, node: &Node) -> Option<&'n Node> {
    let [job, key] = node.items() else { return None };
    let key = key.text().filter(|key| SCRIPTS.contains(key))?;
    root.get(job.text()?)?.get(key)
}

/// Where the lines of a job's scripts stand, as bytes of the file.
fn lines_of<'n>(root: &'n Node, job: &'n Node) -> impl Iterator<Item = usize> {
    fn add(root: &Node, node: &Node, depth: usize, lines: &mut Vec<usize>) {
        if depth > LIST_DEPTH {
            return;
        }
        match referenced(root, node) {
            Some(node) => add(root, node, depth + 1, lines),
            None if node.items().is_empty() => lines.push(node.span.start.byte),
            None => node.items().iter().for_each(|item| add(root, item, depth + 1, lines)),
        }
    }
    let mut lines = Vec::new();
    SCRIPTS.iter().filter_map(|key| job.get(key)).for_each(|node| add(root, node, 0, &mut lines));
    lines.into_iter()
}

fn extends(job: &Node) -> Vec<&str> {
    let Some(extends) = job.get("extends") else { return Vec::new() };
    extends.text().into_iter().chain(extends.items().iter().filter_map(Node::text)).collect()
}

/// A GitLab job and the templates that it extends, nearest first.
fn chain<'n>(root: &'n Node, job: &'n Node) -> Vec<&'n Node> {
    let mut chain = vec![job];
    let mut at = 0;
    while let Some(job) = chain.get(at).copied() {
        for name in extends(job).into_iter().rev() {
            if chain.len() < EXTENDS_LIMIT
                && let Some(template) = root.get(name)
            {
                chain.push(template);
            }
        }
        at += 1;
    }
    chain
}
