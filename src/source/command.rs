//! Commands in scripts, Makefiles and pipelines: Helm, kubectl, and the upstream scripts. Each call is a declaration with what the script says around it.

mod chart;
mod declare;
mod deletion;
mod flags;
mod helm;
mod kubectl;
mod objects;
mod paths;
mod script_file;
mod state;
mod tools;
mod values;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use self::helm::HelmCall;
use self::script_file::ScriptFile;
use super::context::Context;
use super::{Reading, SourceFile};
use crate::document::extract::Extract;
use crate::document::script::condition::Condition;
use crate::document::script::{self, Job, Kind, Part, Setting, Step};
use crate::document::shell::{self, Environment, Outer, Piece, Resolved, ResolvedRedirect, Value, Word};
use crate::model::declaration::{NotChecked, NotCheckedKind};

pub(in crate::source) use self::chart::repositories_roughly;

/// Scripts in arguments of scripts (`bash -c '...'`).
const NESTED_SCRIPTS: usize = 2;
/// How far behind a broken part Milvus may stand.
const NEAR_CHARACTERS: usize = 2_000;
/// Words of which one makes a file worth reading.
const SIGNS: [&str; 4] = ["helm", "kubectl", "rollingUpdate", "migrate"];

/// Reads the commands in a file.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let has_sign = |text: &str| SIGNS.iter().any(|sign| memchr::memmem::find(text.as_bytes(), sign.as_bytes()).is_some());
    let Some(kind) = script::kind(&file.path, &file.text).filter(|_| has_sign(&file.text) || file.text.contains("HELM")) else {
        return Reading::default();
    };
    let documents = if kind == Kind::Pipeline { file.documents() } else { &[] };
    let jobs = script::jobs(kind, &file.text, documents);
    if jobs.is_empty() {
        return Reading::default();
    }
    let script = ScriptFile::new(file, context);
    let mut broken = Vec::new();
    let walks: Vec<Walk> = jobs.iter().map(|job| walk(job, &script, &mut broken)).collect();
    let mut reading = declare::declare(&script, kind, &walks);
    reading.gaps.extend(broken);
    reading
}

/// What is said about a broken part of a script; nothing where Milvus is not near.
fn broken_gap(at: usize, reason: &str, script: &Extract, file: &ScriptFile<'_>) -> Option<NotChecked> {
    let near: String = script.text().get(at..)?.chars().take(NEAR_CHARACTERS).collect();
    near.to_ascii_lowercase().contains("milvus").then(|| {
        let byte = script.source_byte(at);
        NotChecked::at(file.place(&(byte..byte)), NotCheckedKind::NotRead, &format!("the script is broken: {reason}; what follows may be read wrongly"))
    })
}

/// A job with its commands resolved.
struct Walk {
    name: Option<Arc<str>>,
    automatic: bool,
    /// How many of the events only lead to it and are declared elsewhere.
    leading: usize,
    events: Vec<Event>,
}

/// What happens in a job.
enum Event {
    /// A command; Helm's call, if it is one.
    Command(Box<Resolved>, Option<Box<HelmCall>>),
    /// The variables that a script leaves; they hold for its commands too.
    Variables(Box<Environment>),
    /// An action.
    Action(Setting, Vec<(String, Value)>),
    /// An image in which the job runs.
    Image(Setting),
    /// What must hold for what follows to run.
    Under(Vec<Condition>),
}

fn walk(job: &Job, file: &ScriptFile<'_>, broken: &mut Vec<NotChecked>) -> Walk {
    let mut events = Vec::new();
    let mut environment = Environment::default();
    // What steps add to `$GITHUB_ENV` for those after them.
    let mut added: Vec<(String, Value)> = Vec::new();
    let mut leading = 0;
    for (at, part) in job.leading.iter().chain(&job.parts).enumerate() {
        if at == job.leading.len() {
            leading = events.len();
        }
        match part {
            // The conditions of the script before are not those of what comes next.
            Part::Action { name, inputs, conditions } => events.extend([Event::Under(conditions.clone()), Event::Action(name.clone(), inputs.clone())]),
            Part::Image(image) => events.extend([Event::Under(Vec::new()), Event::Image(image.clone())]),
            Part::Script(step) => {
                if step.fresh || events.is_empty() {
                    environment = start(step, &added);
                }
                let parsed = shell::parse(step.script.text());
                broken.extend(parsed.broken.first().and_then(|(at, reason)| broken_gap(*at, reason, &step.script, file)));
                let commands = shell::run(&parsed, &step.script, &mut environment);
                events.push(Event::Under(step.conditions.clone()));
                events.push(Event::Variables(Box::new(environment.clone())));
                for command in commands {
                    added.extend(added_to_environment(&command, file));
                    push_command(command, &environment, file, 0, &mut events);
                }
            }
        }
    }
    Walk { name: job.name.clone(), automatic: job.automatic, leading, events }
}

fn start(step: &Step, added: &[(String, Value)]) -> Environment {
    let mut environment = if added.is_empty() {
        Environment::new(&step.outer)
    } else {
        let mut outer = Outer::inside(&step.outer);
        for (name, value) in added {
            outer.set(name, value.clone());
            outer.set_template(&format!("env.{name}"), value.clone());
        }
        Environment::new(&Arc::new(outer))
    };
    if let Some(folder) = &step.folder {
        environment.set_folder(folder.clone());
    }
    environment
}

fn push_command(command: Resolved, environment: &Environment, file: &ScriptFile<'_>, depth: usize, events: &mut Vec<Event>) {
    if depth < NESTED_SCRIPTS
        && let Some(text) = nested_script(&command.words).or_else(|| script_on_input(&command))
    {
        let mut inner = Environment::new(environment.outer());
        if let Some(folder) = &command.folder {
            inner.set_folder(folder.clone());
        }
        for mut nested in shell::run(&shell::parse(text.text()), &text, &mut inner) {
            nested.ways.splice(0..0, command.ways.iter().copied());
            push_command(nested, environment, file, depth + 1, events);
        }
        return;
    }
    let call = helm::find(&command.words, |bytes: &Range<usize>| file.written(bytes)).map(Box::new);
    events.push(Event::Command(Box::new(command), call));
}

/// The script that a shell reads from a here-document: `bash <<EOF`, `ssh host bash -s <<'EOF'`.
fn script_on_input(command: &Resolved) -> Option<Extract> {
    let text = command.redirects.iter().find_map(|redirect| match redirect {
        ResolvedRedirect::Heredoc(text) => Some(text),
        _ => None,
    })?;
    let programs: Vec<String> = command.words.iter().map(|word| word.text().map(|text| helm::program(&text)).unwrap_or_default()).collect();
    // A shell takes its script from the input where no file is named: nothing but flags stands behind it.
    let takes_input = match programs.iter().position(|name| is_shell(name)) {
        Some(at) => programs.iter().skip(at + 1).all(|word| word.starts_with('-')),
        None => programs.first().is_some_and(|name| name == "ssh"),
    };
    takes_input.then(|| text.clone())
}

fn is_shell(program: &str) -> bool {
    matches!(program, "bash" | "sh" | "zsh" | "dash" | "ash" | "ksh")
}

/// The script that a command is given as an argument: `bash -c '...'`, `ssh host "..."`, `eval "..."`.
fn nested_script(words: &[Word]) -> Option<Extract> {
    let programs: Vec<String> = words.iter().map(|word| word.text().map(|text| helm::program(&text)).unwrap_or_default()).collect();
    let first = programs.first()?.as_str();
    let script = if matches!(first, "eval" | "ssh") {
        words.iter().skip(1).find(|word| word.known_start().trim_start().contains(' '))
    } else {
        let shell = programs.iter().position(|name| is_shell(name))?;
        let flag = words
            .iter()
            .skip(shell)
            .position(|word| word.text().is_some_and(|text| text.starts_with('-') && !text.starts_with("--") && text.ends_with('c')))?;
        words.get(shell + flag + 1)
    }?;
    let mut text = Extract::default();
    for piece in &script.pieces {
        match piece {
            Piece::Text { text: known, bytes } => text.push(known, bytes.start),
            Piece::Unknown { bytes, .. } => text.push("${unknown.part}", bytes.start),
        }
    }
    Some(text)
}

/// `echo "NAME=value" >> "$GITHUB_ENV"`
fn added_to_environment(command: &Resolved, file: &ScriptFile<'_>) -> Option<(String, Value)> {
    let to_environment =
        command.redirects.iter().any(|redirect| matches!(redirect, ResolvedRedirect::AppendTo(word) if file.written(&word.bytes).contains("GITHUB_ENV")));
    if !to_environment || command.words.first().and_then(Word::text).as_deref() != Some("echo") {
        return None;
    }
    let (name, value) = command.words.get(1)?.split_once('=')?;
    Some((name.text()?, Value { pieces: value.pieces, unset: false }))
}

/// The names of releases that the file installs or upgrades with a chart called milvus.
fn milvus_releases(walks: &[Walk]) -> BTreeSet<String> {
    let calls = walks.iter().flat_map(|walk| &walk.events).filter_map(|event| match event {
        Event::Command(_, Some(call)) => Some(call),
        _ => None,
    });
    calls
        .filter(|call| matches!(call.verb().as_deref(), Some("install" | "upgrade")))
        .filter_map(|call| call.release_and_chart(call.verb().as_deref() == Some("install")))
        .filter(|placed| placed.chart.text().is_some_and(|chart| super::lineage::is_milvus_chart(&chart)))
        .filter_map(|placed| placed.name.and_then(Word::text))
        .collect()
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
