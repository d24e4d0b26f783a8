//! What `kubectl delete` takes away with the data in it, and whose data it is.

use std::sync::Arc;

use super::kubectl::Call;
use super::script_file::ScriptFile;
use super::state::Release;
use crate::document::shell::{READ, Resolved, Word};

/// What stands before the release's name in the names of its claims: `data-my-release-etcd-0`.
const BEFORE_THE_RELEASE: [&str; 4] = ["", "data-", "export-", "datadir-"];

/// How what stands behind the release's name begins: the chart's own name, its dependencies, and what the claims of workloads end with.
const BEHIND_THE_RELEASE: [&str; 13] =
    ["milvus", "etcd", "minio", "pulsar", "kafka", "zookeeper", "bookie", "woodpecker", "standalone", "mysql", "tei", "streamingnode", "querynode"];

/// Labels whose value is the name of a release.
const LABELS_OF_THE_RELEASE: [&str; 2] = ["release", "app.kubernetes.io/instance"];

/// What `kubectl delete` takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deletion {
    /// Namespaces with all that is in them, by their names as known or written.
    Namespaces(Vec<String>),
    /// Claims.
    Claims {
        /// The namespace, where it is said.
        namespace: Option<Arc<str>>,
        /// Which; any of them.
        targets: Vec<Target>,
        /// Parts that all of their names have: `grep my-release`.
        parts: Vec<String>,
        /// Every claim of the namespace.
        all: bool,
    },
}

/// How claims are named, as known or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// By name.
    Name(String),
    /// By labels: `-l release=my-release`.
    Labels(String),
}

/// `kubectl delete namespace|pvc`. `feeding` are the commands whose output names what is deleted: before `xargs` in a pipe, or in `$( )`.
pub(super) fn deletion(command: &Resolved, feeding: &[&Resolved], file: &ScriptFile<'_>) -> Option<Deletion> {
    let call = Call::find(command)?;
    let words = &command.words;
    let is_dry = words.iter().any(|word| word.known_start().starts_with("--dry-run"));
    let (verb, rest) = call.arguments.positional.split_first()?;
    if verb.text().as_deref() != Some("delete") || is_dry {
        return None;
    }
    // What another command prints, or xargs puts in, names nothing here.
    let named = rest.iter().filter(|word| word.known_start() != "{}" && !is_fed(word, feeding));
    let mut named = named.map(|word| word.text().unwrap_or_else(|| file.word_written(word)));
    let first = named.next();
    let fed = Fed::of(feeding, file);
    let is_of_kinds = first.as_deref().is_some_and(|first| !first.contains('/'));
    let kinds = first.as_deref().filter(|_| is_of_kinds);
    if kinds.is_some_and(|kinds| kinds.split(',').any(is_namespace)) {
        return Some(Deletion::Namespaces(named.collect()));
    }
    let mut targets: Vec<Target> = if kinds.is_some() {
        named.map(|name| Target::Name(name.rsplit('/').next().unwrap_or(&name).to_owned())).collect()
    } else {
        // `pvc/a pvc/b` names the kind each time.
        let each: Vec<String> = first.iter().cloned().chain(named).collect();
        let of = |is_kind: fn(&str) -> bool| {
            each.iter().filter_map(|name| name.split_once('/')).filter(move |(kind, _)| is_kind(kind)).map(|(_, name)| name.to_owned())
        };
        let namespaces: Vec<String> = of(is_namespace).collect();
        if !namespaces.is_empty() {
            return Some(Deletion::Namespaces(namespaces));
        }
        of(is_claim).map(Target::Name).collect()
    };
    let are_claims = kinds.map_or(!targets.is_empty() || fed.are_claims, |kinds| kinds.split(',').any(is_claim));
    if !are_claims {
        return None;
    }
    targets.extend(call.arguments.selector.as_ref().map(|word| Target::Labels(word.text().unwrap_or_else(|| file.word_written(word)))));
    let takes_all = words.iter().any(|word| matches!(word.known_start().as_str(), "--all" | "--all=true"));
    let all = takes_all || (fed.are_claims && fed.targets.is_empty() && fed.parts.is_empty() && !fed.is_filtered);
    targets.extend(fed.targets);
    let namespace = call.arguments.namespace.as_ref().and_then(|word| file.fact(word).known().cloned()).or(fed.namespace);
    Some(Deletion::Claims { namespace, targets, parts: fed.parts, all })
}

fn is_namespace(kind: &str) -> bool {
    matches!(kind, "ns" | "namespace" | "namespaces")
}

fn is_claim(kind: &str) -> bool {
    matches!(kind, "pvc" | "persistentvolumeclaim" | "persistentvolumeclaims")
}

/// Whether a word is what one of these commands prints.
fn is_fed(word: &Word, feeding: &[&Resolved]) -> bool {
    let holds = |command: &&Resolved| word.pieces.iter().any(|piece| piece.bytes().start <= command.bytes.start && command.bytes.end <= piece.bytes().end);
    word.text().is_none() && (feeding.iter().any(holds) || is_read(word))
}

/// Whether a word is what a loop reads: `while read claim; do ...`.
pub(super) fn is_read(word: &Word) -> bool {
    word.unknown().is_some_and(|reason| &**reason == READ)
}

/// What the commands that name things for a deletion say.
#[derive(Default)]
struct Fed {
    /// One of them lists claims.
    are_claims: bool,
    targets: Vec<Target>,
    parts: Vec<String>,
    /// One of them leaves things out by what is not known here.
    is_filtered: bool,
    namespace: Option<Arc<str>>,
}

impl Fed {
    fn of(feeding: &[&Resolved], file: &ScriptFile<'_>) -> Self {
        let mut fed = Self::default();
        let shown = |word: &Word| word.text().unwrap_or_else(|| file.word_written(word));
        for command in feeding {
            let program = command.words.first().and_then(Word::text).unwrap_or_default();
            if let Some(call) = Call::find(command) {
                let texts: Vec<String> = call.arguments.positional.iter().map(|word| shown(word)).collect();
                let [verb, kinds, names @ ..] = texts.as_slice() else { continue };
                if verb == "get" && kinds.split(',').any(is_claim) {
                    fed.are_claims = true;
                    fed.targets.extend(names.iter().cloned().map(Target::Name));
                    fed.targets.extend(call.arguments.selector.as_ref().map(|word| Target::Labels(shown(word))));
                    fed.namespace = call.arguments.namespace.as_ref().and_then(|word| file.fact(word).known().cloned());
                }
            } else if matches!(program.as_str(), "grep" | "egrep" | "rg" | "ag") {
                let is_inverted = command.words.iter().any(|word| word.known_start().starts_with('-') && word.known_start().contains('v'));
                let pattern = command.words.iter().skip(1).find(|word| !word.known_start().starts_with('-'));
                match pattern {
                    Some(pattern) if !is_inverted => fed.parts.push(shown(pattern)),
                    _ => fed.is_filtered = true,
                }
            } else if matches!(program.as_str(), "jq" | "sed" | "head" | "tail") {
                fed.is_filtered = true;
            }
        }
        fed
    }
}

impl Deletion {
    /// What of a release it takes away, in words. Claims of a Pulsar alone are part of the documented way to Pulsar 3, after a flush.
    pub(super) fn hits(&self, release: &Release, is_flushed: bool) -> Option<&'static str> {
        match self {
            Self::Namespaces(names) => {
                let is_its_own =
                    |name: &String| release.namespace.as_deref() == Some(name.as_str()) || (release.namespace.is_none() && release.namespace_written == *name);
                names.iter().any(is_its_own).then_some("its namespace")
            }
            Self::Claims { namespace, targets, parts, all } => {
                let is_here = namespace.is_none() || release.namespace.is_none() || *namespace == release.namespace;
                let known = release.name.as_deref().unwrap_or(&release.written);
                let texts = || targets.iter().map(Target::text).chain(parts.iter().map(String::as_str));
                let is_of_pulsar = texts().next().is_some() && texts().all(|text| text.contains("pulsar"));
                let is_named = match (targets.as_slice(), parts.as_slice()) {
                    ([], []) => *all,
                    ([], _) => true,
                    (targets, _) => targets.iter().any(|target| target.is_of(known)),
                };
                let is_hit = is_here && is_named && parts.iter().all(|part| may_be_part_of(part, known)) && !(is_flushed && is_of_pulsar);
                is_hit.then_some("claims that hold its data")
            }
        }
    }
}

impl Target {
    fn text(&self) -> &str {
        let (Self::Name(text) | Self::Labels(text)) = self;
        text
    }

    /// Whether claims of a release are among them. Of a release whose name is not known at all, what speaks of Milvus counts.
    fn is_of(&self, release: &str) -> bool {
        if release.is_empty() {
            return self.text().contains("milvus");
        }
        match self {
            Self::Name(name) => is_claim_of(name, release),
            Self::Labels(labels) => {
                let among = |key: &&str| labels.split_once(&format!("{key} in (")).and_then(|(_, rest)| rest.split_once(')'));
                if let Some((names, _)) = LABELS_OF_THE_RELEASE.iter().find_map(among) {
                    return names.split(',').any(|name| name.trim() == release);
                }
                let pair = |label: &'_ str| label.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim_start_matches('=').trim().to_owned()));
                let values: Vec<(String, String)> = labels.split(',').filter_map(pair).collect();
                let of_release = values.iter().find(|(key, _)| LABELS_OF_THE_RELEASE.contains(&key.as_str()));
                of_release.map_or_else(|| values.iter().any(|(_, value)| value == "milvus"), |(_, value)| value == release)
            }
        }
    }
}

/// Whether the names of a release's claims may have this part.
fn may_be_part_of(part: &str, release: &str) -> bool {
    let part = part.trim_matches(['^', '$', '.', '*', '-']);
    let is_word_of_any = BEHIND_THE_RELEASE.iter().any(|word| word.contains(part)) || matches!(part, "data" | "pvc" | "persistentvolumeclaim");
    release.is_empty() || release.contains(part) || is_word_of_any || is_claim_of(part, release)
}

/// Whether a claim is one of a release, by its name: `data-my-release-etcd-0` is of `my-release`, and not of `my`.
fn is_claim_of(name: &str, release: &str) -> bool {
    BEFORE_THE_RELEASE.iter().any(|before| {
        let Some(behind) = name.strip_prefix(before).and_then(|name| name.strip_prefix(release)) else { return false };
        let part = behind.strip_prefix('-');
        let is_open = |text: &str| text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '*' | '$' | '{'));
        behind.is_empty()
            || behind.starts_with(['*', '{'])
            || part.is_some_and(|part| is_open(part) || BEHIND_THE_RELEASE.iter().any(|word| part.starts_with(word)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_another_release_are_not_taken_for_those_of_one_that_begins_alike() {
        for (target, release, expected) in [
            (Target::Name("data-milvus-etcd-0".into()), "milvus", true),
            (Target::Name("data-milvus-dev-etcd-0".into()), "milvus", false),
            (Target::Name("data-my-milvus-etcd-0".into()), "milvus", false),
            (Target::Name("data-milvus-dev-etcd-0".into()), "milvus-dev", true),
            (Target::Name("milvus-pulsarv3-bookie-journal-milvus-pulsarv3-bookie-0".into()), "milvus", true),
            (Target::Name("prod-milvus".into()), "prod", true),
            (Target::Name("data-$R-minio-${i}".into()), "$R", true),
            (Target::Name("data-milvus-etcd-0".into()), "", true),
            (Target::Labels("app.kubernetes.io/instance=milvus-dev".into()), "milvus", false),
            (Target::Labels("app.kubernetes.io/instance==milvus".into()), "milvus", true),
            (Target::Labels("app.kubernetes.io/name=milvus".into()), "prod", true),
            (Target::Labels("app=milvus,release=other".into()), "prod", false),
            (Target::Labels("app=redis".into()), "milvus", false),
            (Target::Labels("release in (other, milvus),app=pulsar".into()), "milvus", true),
            (Target::Labels("release in (other)".into()), "milvus", false),
        ] {
            assert_eq!(target.is_of(release), expected, "{target:?} {release}");
        }
        for (part, release, expected) in
            [("milvus", "prod", true), ("milvus-dev", "milvus", false), ("^data-milvus-", "milvus", true), ("etcd", "milvus", true), ("redis", "milvus", false)]
        {
            assert_eq!(may_be_part_of(part, release), expected, "{part} {release}");
        }
    }
}
