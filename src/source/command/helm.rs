//! Helm's command line: finding it among wrappers, and its flags (Helm 2 to 4).

use std::ops::Range;

use crate::document::shell::Word;

/// How far a wrapper's own arguments may reach.
const WRAPPER_WORDS: usize = 24;

/// Flags that take an argument, by their long names; all others are switches.
const WITH_ARGUMENT: &[&str] = &[
    "api-versions",
    "burst-limit",
    "ca-file",
    "cert-file",
    "context",
    "description",
    "destination",
    "history-max",
    "key-file",
    "keyring",
    "kube-apiserver",
    "kube-as-group",
    "kube-as-user",
    "kube-ca-file",
    "kube-context",
    "kube-tls-server-name",
    "kube-token",
    "kube-version",
    "kubeconfig",
    "labels",
    "max",
    "name",
    "name-template",
    "namespace",
    "output",
    "output-dir",
    "password",
    "plain-http-registry",
    "post-renderer",
    "post-renderer-args",
    "qps",
    "registry-config",
    "repo",
    "repository-cache",
    "repository-config",
    "selector",
    "set",
    "set-file",
    "set-json",
    "set-literal",
    "set-string",
    "show-only",
    "tiller-connection-timeout",
    "tiller-namespace",
    "timeout",
    "tls-ca-cert",
    "tls-cert",
    "tls-hostname",
    "tls-key",
    "untardir",
    "username",
    "values",
    "version",
];

/// Commands that only speak about others, or install the tool.
const SPEAKERS: &[&str] = &[
    "[", "[[", "alias", "apk", "apt", "apt-get", "asdf", "awk", "brew", "cat", "cd", "chmod", "choco", "cp", "curl", "dnf", "echo", "egrep", "export", "fgrep",
    "git", "grep", "hash", "install", "ln", "ls", "man", "mise", "mkdir", "mv", "pgrep", "pip", "pkill", "printf", "read", "rg", "rm", "sed", "snap", "source",
    "tar", "test", "touch", "type", "wget", "whereis", "which", "yum",
];

/// Parts of the names of functions that print.
const PRINTING: &[&str] = &["echo", "print", "log", "info", "warn", "error", "msg", "message", "notice", "debug", "usage"];

/// A call of Helm.
#[derive(Debug, Clone)]
pub(super) struct HelmCall {
    /// The word `helm` itself.
    pub(super) start: Range<usize>,
    /// Subcommand and arguments, in order.
    pub(super) arguments: Vec<Word>,
    /// Flags, in order.
    pub(super) options: Vec<HelmOption>,
    /// Unknown words before the subcommand, which may hold any flags.
    pub(super) extra: Vec<Word>,
    /// The tag of the image that holds Helm, if it runs in one.
    pub(super) image_tag: Option<Word>,
    /// The program is Helm 2 by its name.
    pub(super) is_helm2: bool,
}

/// The arguments of a call by what they mean.
pub(super) struct Placed<'c> {
    pub(super) name: Option<&'c Word>,
    pub(super) chart: &'c Word,
    /// Unknown words that may hold any arguments.
    pub(super) extra: Vec<&'c Word>,
}

/// A flag of a call.
#[derive(Debug, Clone)]
pub(super) struct HelmOption {
    /// Its long name without dashes.
    pub(super) name: String,
    /// Its argument; of a switch only where it is given with `=`.
    pub(super) value: Option<Word>,
    /// The flag's word.
    pub(super) bytes: Range<usize>,
}

impl HelmCall {
    /// The last option of this name: Helm takes the last.
    pub(super) fn option(&self, name: &str) -> Option<&HelmOption> {
        self.options.iter().rev().find(|option| option.name == name)
    }

    /// The option, if it is a switch that is on.
    pub(super) fn switch(&self, name: &str) -> Option<&HelmOption> {
        let is_off =
            |option: &HelmOption| option.value.as_ref().and_then(Word::text).is_some_and(|value| matches!(value.as_str(), "false" | "False" | "0" | "none"));
        self.option(name).filter(|option| !is_off(option))
    }

    /// The release's name and the chart among the arguments of a command that takes both, and unknown words that may hold any other arguments.
    /// With one argument it is the chart, where `alone` allows it.
    pub(super) fn release_and_chart(&self, alone: bool) -> Option<Placed<'_>> {
        let arguments = self.arguments.get(1..).unwrap_or_default();
        let is_chart = |word: &Word| word.text().is_some_and(|text| text.contains('/') || text.ends_with(".tgz"));
        let known = arguments.iter().position(is_chart);
        let by_flag = self.option("name").and_then(|option| option.value.as_ref());
        let (name, chart) = match (known, arguments) {
            (Some(0), _) if alone => (None, 0),
            (Some(0), [_, _, ..]) => (Some(0), 1),
            (Some(chart), _) if chart > 0 => (Some(chart - 1), chart),
            (_, [_]) if alone => (None, 0),
            (_, [_, _, ..]) => (Some(0), 1),
            _ => return None,
        };
        let extra = arguments.iter().enumerate().filter(|(i, word)| word.elastic && *i != chart && Some(*i) != name).map(|(_, word)| word);
        Some(Placed { name: name.and_then(|i| arguments.get(i)).or(by_flag), chart: arguments.get(chart)?, extra: self.extra.iter().chain(extra).collect() })
    }

    /// The subcommand, if it is readable.
    pub(super) fn verb(&self) -> Option<String> {
        self.arguments.first().and_then(Word::text)
    }
}

/// The call of Helm in a command, if it is one. `written` gives the text of the file at some bytes.
pub(super) fn find<'s>(words: &[Word], written: impl Fn(&Range<usize>) -> &'s str) -> Option<HelmCall> {
    let first = words.first()?;
    let Some(name) = first.text().map(|text| program(&text)) else {
        // `$HELM upgrade ...`
        let named = first.pieces.len() == 1 && written(&first.bytes).to_ascii_lowercase().contains("helm");
        return (named && words.get(1).is_some_and(is_subcommand)).then(|| parse(first, words.get(1..).unwrap_or_default()));
    };
    if is_helm(&name) {
        return Some(parse(first, words.get(1..)?));
    }
    if SPEAKERS.contains(&name.as_str())
        || PRINTING.iter().any(|part| name.contains(part))
        || name == "command" && words.get(1).is_some_and(|w| w.known_start().starts_with('-'))
    {
        return None;
    }
    if matches!(name.as_str(), "docker" | "podman" | "nerdctl")
        && let Some(call) = in_container(words)
    {
        return Some(call);
    }
    // A wrapper (`sudo`, `time`, `retry 3`, `env X=y`) runs what follows.
    let at = words.iter().take(WRAPPER_WORDS).skip(1).position(|word| word.text().is_some_and(|text| is_helm(&program(&text))))? + 1;
    let rest = words.get(at + 1..)?;
    rest.iter().take(6).any(is_subcommand).then(|| parse(words.get(at).unwrap_or(first), rest))
}

/// `docker run ... alpine/helm:3.12.0 upgrade ...`
fn in_container(words: &[Word]) -> Option<HelmCall> {
    let is_image = |word: &Word| {
        let text = word.known_start();
        let name = text.rsplit('/').next().unwrap_or_default();
        let name = name.split([':', '@']).next().unwrap_or_default();
        !text.starts_with('-') && text.contains('/') && !text.starts_with(['/', '.']) && name.split('-').any(|part| part == "helm")
    };
    let at = words.iter().skip(1).position(is_image)? + 1;
    let image = words.get(at)?;
    let mut rest = words.get(at + 1..)?;
    if rest.first().and_then(Word::text).is_some_and(|text| is_helm(&program(&text))) {
        rest = rest.get(1..)?;
    }
    let mut call = parse(image, rest);
    call.image_tag = image.split_once(':').map(|(_, tag)| tag);
    Some(call)
}

fn is_subcommand(word: &Word) -> bool {
    matches!(
        word.text().as_deref(),
        Some(
            "upgrade"
                | "install"
                | "template"
                | "rollback"
                | "uninstall"
                | "delete"
                | "del"
                | "un"
                | "pull"
                | "fetch"
                | "repo"
                | "dependency"
                | "dep"
                | "secrets"
        )
    )
}

/// The name of a program without its folder.
pub(super) fn program(text: &str) -> String {
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    name.strip_suffix(".exe").unwrap_or(name).to_owned()
}

fn is_helm(name: &str) -> bool {
    matches!(name, "helm" | "helm2" | "helm3" | "helm4" | "helm-v3")
}

fn parse(helm: &Word, words: &[Word]) -> HelmCall {
    let mut call = HelmCall {
        start: helm.bytes.clone(),
        arguments: Vec::new(),
        options: Vec::new(),
        extra: Vec::new(),
        image_tag: None,
        is_helm2: helm.text().is_some_and(|text| program(&text) == "helm2"),
    };
    let mut words = words.iter().peekable();
    let mut only_arguments = false;
    while let Some(word) = words.next() {
        let start = word.known_start();
        if only_arguments || !start.starts_with('-') || start == "-" {
            call.arguments.push(word.clone());
        } else if start == "--" && word.pieces.len() == 1 {
            only_arguments = true;
        } else if start.starts_with("--") {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.known_start(), Some(value)),
                None => (start, None),
            };
            let name = name.trim_start_matches('-').to_owned();
            let value = value.or_else(|| if takes_argument(&name) { words.next().cloned() } else { None });
            call.options.push(HelmOption { name, value, bytes: word.bytes.clone() });
        } else {
            short_flags(word, &start, &mut words, &mut call);
        }
    }
    take_plugin(&mut call);
    // `helm $FLAGS upgrade ...`
    if call.arguments.first().is_some_and(|word| word.elastic) && call.arguments.get(1).is_some_and(is_subcommand) {
        call.extra.push(call.arguments.remove(0));
    }
    call
}

/// `helm secrets upgrade ...` is an upgrade.
fn take_plugin(call: &mut HelmCall) {
    if call.verb().as_deref() == Some("secrets") && call.arguments.get(1).is_some_and(is_subcommand) {
        call.arguments.remove(0);
    }
}

fn takes_argument(name: &str) -> bool {
    WITH_ARGUMENT.binary_search(&name).is_ok()
}

/// `-in milvus`, `-f values.yaml`, `-fvalues.yaml`, `-n=milvus`
fn short_flags<'w>(word: &Word, start: &str, words: &mut impl Iterator<Item = &'w Word>, call: &mut HelmCall) {
    for (at, c) in start.char_indices().skip(1) {
        let name = match c {
            'n' => "namespace",
            'f' => "values",
            'i' => "install",
            'g' => "generate-name",
            'a' => "api-versions",
            'd' => "destination",
            'l' => "selector",
            'o' => "output",
            's' => "show-only",
            _ => continue,
        };
        let mut option = HelmOption { name: name.to_owned(), value: None, bytes: word.bytes.clone() };
        if takes_argument(name) {
            let rest = word.without_start(at + c.len_utf8()).filter(|rest| !rest.pieces.is_empty());
            let rest = rest.map(|rest| if rest.known_start().starts_with('=') { rest.without_start(1).unwrap_or(rest) } else { rest });
            option.value = rest.or_else(|| words.next().cloned());
            call.options.push(option);
            return;
        }
        call.options.push(option);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::extract::Extract;
    use crate::document::shell::{Environment, parse as parse_shell, run};

    fn call(text: &str) -> Option<HelmCall> {
        let commands = run(&parse_shell(text), &Extract::whole(text), &mut Environment::default());
        commands.iter().find_map(|command| find(&command.words, |bytes| text.get(bytes.clone()).unwrap_or_default()))
    }

    #[test]
    fn the_list_of_flags_is_sorted() {
        assert!(WITH_ARGUMENT.is_sorted());
    }

    #[test]
    fn helm_is_found_behind_wrappers_and_in_containers() {
        for text in [
            "helm upgrade m x",
            "/usr/bin/helm upgrade m x",
            "sudo -E helm3 upgrade m x",
            "time helm upgrade m x",
            "retry 3 helm upgrade m x",
            "$HELM upgrade m x",
            "A=b helm --debug upgrade m x",
            "docker run --rm -v $HOME/.kube:/root/.kube alpine/helm:3.12.0 upgrade m x",
            "podman run docker.io/dtzar/helm-kubectl:3.9 helm upgrade m x",
            "helm secrets upgrade m x",
            "kubectl exec -it tools -- helm upgrade m x",
            "H=helm; $H -n a upgrade m x",
            "command helm upgrade m x",
        ] {
            let call = call(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(call.verb().as_deref(), Some("upgrade"), "{text}");
            assert_eq!(call.arguments.len(), 3, "{text}");
        }
        assert_eq!(call("docker run alpine/helm:3.12.0 upgrade m x").unwrap().image_tag.unwrap().text().as_deref(), Some("3.12.0"));
    }

    #[test]
    fn what_only_speaks_of_helm_is_no_call() {
        for text in [
            "echo helm upgrade m x",
            "log_info \"run\" helm upgrade m x",
            "which helm",
            "apt-get install helm",
            "printf 'helm upgrade'",
            "# helm upgrade",
            "command -v helm upgrade",
        ] {
            assert!(call(text).is_none(), "{text}");
        }
    }

    #[test]
    fn flags_are_read_in_all_their_forms() {
        let call = call("helm -n=a upgrade -if v.yaml m x --set a=b,c=d --set=e=f --wait=legacy --atomic=false -fw.yaml $MORE --version '4.1'").unwrap();
        let all: Vec<(String, Option<String>)> = call.options.iter().map(|o| (o.name.clone(), o.value.as_ref().and_then(Word::text))).collect();
        let expected = [
            ("namespace", Some("a")),
            ("install", None),
            ("values", Some("v.yaml")),
            ("set", Some("a=b,c=d")),
            ("set", Some("e=f")),
            ("wait", Some("legacy")),
            ("atomic", Some("false")),
            ("values", Some("w.yaml")),
            ("version", Some("4.1")),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
        assert!(call.switch("atomic").is_none() && call.switch("wait").is_some());
        let placed = call.release_and_chart(false).unwrap();
        assert_eq!((placed.extra.len(), placed.chart.text().as_deref()), (1, Some("x")));
    }
}
