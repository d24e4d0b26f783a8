//! Commands that change Milvus past Helm: `kubectl` on its workloads, and the upstream scripts.

use std::sync::Arc;

use super::helm::program;
use super::script_file::ScriptFile;
use crate::document::shell::{Resolved, ResolvedRedirect, Word};
use crate::model::place::{Fact, Origin};

/// Milvus's own images.
const IMAGES: [&str; 2] = ["milvusdb/milvus:", "milvusdb/milvus-gpu:"];

/// Flags of kubectl that take an argument and say nothing here.
const WITH_ARGUMENT: [&str; 47] = [
    "--as",
    "--as-group",
    "--as-uid",
    "--as-user-extra",
    "--cache-dir",
    "--certificate-authority",
    "--client-certificate",
    "--client-key",
    "--cluster",
    "--container",
    "--containers",
    "--context",
    "--current-replicas",
    "--field-manager",
    "--field-selector",
    "--filename",
    "--grace-period",
    "--kubeconfig",
    "--kuberc",
    "--kustomize",
    "--log-flush-frequency",
    "--output",
    "--password",
    "--patch-file",
    "--profile",
    "--profile-output",
    "--raw",
    "--replicas",
    "--request-timeout",
    "--resource-version",
    "--server",
    "--sort-by",
    "--subresource",
    "--template",
    "--timeout",
    "--tls-server-name",
    "--token",
    "--type",
    "--user",
    "--username",
    "--v",
    "--vmodule",
    "-c",
    "-f",
    "-k",
    "-o",
    "-s",
];

/// A change of Milvus's workloads past Helm.
pub(super) struct Direct {
    /// The word at which it begins.
    pub(super) start: std::ops::Range<usize>,
    pub(super) namespace: Fact<Arc<str>>,
    pub(super) image: Fact<Arc<str>>,
}

/// `kubectl set image|patch|edit|scale` on a Deployment or StatefulSet of Milvus. A restart (`rollout restart`) changes nothing that Helm manages.
pub(super) fn direct_change(command: &Resolved, file: &ScriptFile<'_>) -> Option<Direct> {
    let Call { start, arguments } = Call::find(command)?;
    let texts: Vec<String> = arguments.positional.iter().map(|word| word.known_start()).collect();
    let verb = texts.first()?.as_str();
    let targets = match verb {
        "set" if texts.get(1).is_some_and(|what| matches!(what.as_str(), "image" | "env" | "resources")) => texts.get(2..)?,
        "patch" | "edit" | "scale" => texts.get(1..)?,
        _ => return None,
    };
    let is_workload = targets.iter().any(|text| {
        let kind = text.split(['/', '.']).next().unwrap_or_default();
        matches!(kind, "deployment" | "deployments" | "deploy" | "statefulset" | "statefulsets" | "sts")
    });
    let image = image(&arguments, file);
    let names_milvus =
        targets.iter().any(|text| is_milvus_workload(text)) || arguments.selector.as_ref().is_some_and(|selector| selector.known_start().contains("milvus"));
    (is_workload && (names_milvus || image.is_some())).then(|| Direct {
        start: start.bytes.clone(),
        namespace: arguments.namespace.as_ref().map_or(Fact::Absent, |word| file.fact(word)),
        image: image.unwrap_or(Fact::Absent),
    })
}

fn is_milvus_workload(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or(text).to_ascii_lowercase();
    let name = name.split('=').next().unwrap_or_default();
    name.contains("milvus") && !name.contains("operator") && !name.contains("attu") && !name.contains("backup")
}

/// The image in `container=image` or in a patch.
fn image(arguments: &Arguments<'_>, file: &ScriptFile<'_>) -> Option<Fact<Arc<str>>> {
    for word in &arguments.positional {
        if let Some((_, image)) = word.split_once('=')
            && IMAGES.iter().any(|name| image.known_start().contains(name))
        {
            return Some(file.fact(&image));
        }
    }
    let patch = arguments.patch?;
    let text: String = patch.known_start();
    let at = IMAGES.iter().find_map(|name| text.find(name))?;
    let start = text.get(..at)?.rfind(['"', '\'', ' ', ':']).map_or(0, |i| i + 1);
    let length = text.get(start..)?.find(['"', '\'', ' ', '}', ',']).unwrap_or(text.len() - start);
    let image = text.get(start..start + length)?;
    let word = patch.without_start(start);
    let origin = Origin::At(file.place(&word.map_or_else(|| patch.value_bytes(), |word| word.value_bytes().start..word.value_bytes().start + image.len())));
    Some(Fact::Known(Arc::from(image), origin))
}

/// A call of kubectl, or of oc, which takes the same arguments.
pub(super) struct Call<'w> {
    /// The word that names the program.
    start: &'w Word,
    pub(super) arguments: Arguments<'w>,
}

impl<'w> Call<'w> {
    pub(super) fn find(command: &'w Resolved) -> Option<Self> {
        let words = &command.words;
        let at = words.iter().take(8).position(|word| word.text().is_some_and(|text| matches!(program(&text).as_str(), "kubectl" | "oc")))?;
        let is_said = words.first().and_then(Word::text).is_some_and(|text| matches!(text.as_str(), "echo" | "printf" | "alias" | "which" | "command"));
        let (start, rest) = words.get(at..)?.split_first().filter(|_| !is_said)?;
        Some(Self { start, arguments: Arguments::read(rest) })
    }
}

/// The arguments of kubectl, as far as they matter.
pub(super) struct Arguments<'w> {
    pub(super) positional: Vec<&'w Word>,
    pub(super) namespace: Option<Word>,
    pub(super) selector: Option<Word>,
    patch: Option<&'w Word>,
}

impl<'w> Arguments<'w> {
    fn read(words: &'w [Word]) -> Self {
        let mut read = Self { positional: Vec::new(), namespace: None, selector: None, patch: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let start = word.known_start();
            if !start.starts_with('-') {
                read.positional.push(word);
                continue;
            }
            let (name, inline) = match word.split_once('=') {
                // `-lapp=milvus`, `-nvectors`: a flag of one letter with its argument.
                _ if is_glued(&start) => (start.chars().take(2).collect(), word.without_start(2)),
                Some((name, value)) => (name.known_start(), Some(value)),
                None => (start, None),
            };
            match name.as_str() {
                "-n" | "--namespace" => read.namespace = inline.or_else(|| words.next().cloned()),
                "-l" | "--selector" => read.selector = inline.or_else(|| words.next().cloned()),
                "-p" | "--patch" => read.patch = if inline.is_some() { Some(word) } else { words.next() },
                name if inline.is_none() && WITH_ARGUMENT.contains(&name) => {
                    words.next();
                }
                _ => {}
            }
        }
        read
    }
}

/// Whether the argument of a flag of one letter stands right behind it.
fn is_glued(flag: &str) -> bool {
    let mut chars = flag.chars();
    chars.next() == Some('-') && matches!(chars.next(), Some('l' | 'n' | 'o' | 'f' | 'k' | 'c')) && chars.next().is_some_and(|c| c != '=')
}

/// A call of an upstream script.
pub(super) struct UpstreamScript {
    pub(super) which: Upstream,
    pub(super) start: std::ops::Range<usize>,
    options: Vec<(char, Word)>,
}

/// The upstream scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upstream {
    /// `rollingUpdate.sh`
    RollingUpdate,
    /// `migrate.sh`, or `milvus-guard migrate`, which takes the same flags.
    Migrate,
}

impl UpstreamScript {
    /// The argument of a flag.
    pub(super) fn option(&self, flag: char) -> Option<&Word> {
        self.options.iter().rev().find(|(name, _)| *name == flag).map(|(_, word)| word)
    }

    pub(super) fn fact(&self, flag: char, file: &ScriptFile<'_>) -> Fact<Arc<str>> {
        self.option(flag).map_or(Fact::Absent, |word| file.fact(word))
    }

    /// A call, if the command is one. `before` is the command whose output it reads.
    pub(super) fn find(command: &Resolved, before: Option<&Resolved>) -> Option<Self> {
        let words = &command.words;
        let first = words.first().and_then(Word::text).map(|text| program(&text))?;
        if matches!(
            first.as_str(),
            "echo" | "printf" | "cat" | "chmod" | "curl" | "wget" | "cp" | "mv" | "rm" | "ls" | "git" | "grep" | "vi" | "vim" | "sed" | "touch"
        ) {
            return None;
        }
        let names = |word: &Word| word.text().map(|text| program(&text)).and_then(|name| which(&name));
        let of_guard = words.windows(2).take(4).position(|pair| {
            let texts: Vec<Option<String>> = pair.iter().map(Word::text).collect();
            matches!(texts.as_slice(), [Some(tool), Some(command)] if program(tool) == "milvus-guard" && command == "migrate")
        });
        let (at, which, rest) = if let Some(at) = of_guard {
            (at, Upstream::Migrate, at + 2)
        } else if let Some(at) = words.iter().take(5).position(|word| names(word).is_some()) {
            (at, names(words.get(at)?)?, at + 1)
        } else if command.piped && matches!(first.as_str(), "bash" | "sh") {
            // `curl .../rollingUpdate.sh | bash -s -- -i ...`
            let piped = before?.words.iter().find_map(names)?;
            (0, piped, words.iter().position(|word| matches!(word.text().as_deref(), Some("-s"))).map_or(1, |at| at + 1))
        } else {
            return None;
        };
        let call = Self { which, start: words.get(at)?.bytes.clone(), options: options(words.get(rest..)?) };
        let fits = match which {
            Upstream::RollingUpdate => call.option('i').is_some() || call.option('w').is_some() || call.option('t').is_some(),
            // Many scripts are called migrate.sh.
            Upstream::Migrate => call.option('i').is_some() && (call.option('s').is_some() || call.option('t').is_some()),
        };
        fits.then_some(call)
    }
}

fn which(name: &str) -> Option<Upstream> {
    match name {
        "rollingUpdate.sh" => Some(Upstream::RollingUpdate),
        "migrate.sh" => Some(Upstream::Migrate),
        _ => None,
    }
}

/// Flags of one letter with an argument, as `getopts` reads them.
fn options(words: &[Word]) -> Vec<(char, Word)> {
    let mut options = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let start = word.known_start();
        let mut letters = start.chars();
        let (Some('-'), Some(flag)) = (letters.next(), letters.next()) else { continue };
        if !flag.is_ascii_alphabetic() {
            continue;
        }
        let inline = word.without_start(2).filter(|rest| !rest.pieces.is_empty());
        if let Some(value) = inline.or_else(|| words.next().cloned()) {
            options.push((flag, value));
        }
    }
    options
}

/// Whether a command flushes all collections (`/api/v1/persist`).
pub(super) fn flushes(command: &Resolved) -> bool {
    let speaks =
        |word: &Word| word.pieces.iter().any(|piece| matches!(piece, crate::document::shell::Piece::Text { text, .. } if text.contains("/api/v1/persist")));
    let is_hint = command.words.first().and_then(Word::text).is_some_and(|text| matches!(text.as_str(), "echo" | "printf" | "cat" | "grep"));
    !is_hint && (command.words.iter().any(speaks) || command.redirects.iter().any(|r| matches!(r, ResolvedRedirect::Text(word) if speaks(word))))
}
