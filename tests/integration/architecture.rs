//! The house keeps its arrows: which module may use which, who may do I/O, and what may not be in the linter's dependency tree.

use std::path::{Path, PathBuf};

/// Which module may use which others, besides itself. A module that is not here has to be added, with what it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("document", &[]),
    ("source", &["model", "document"]),
    ("report", &["model", "document"]),
    ("policy", &["model"]),
    ("rollout", &["model"]),
    ("cli", &["model", "document", "source", "report", "policy", "rollout"]),
];

/// Files that may use everything: they only tie the house together.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// What the linter must not contain: clusters, sockets, TLS.
const BANNED: &[&str] =
    &["kube", "kube-client", "k8s-openapi", "tokio", "axum", "hyper", "reqwest", "rustls", "openssl", "openssl-sys", "native-tls", "ring", "aws-lc-rs"];

struct Module {
    /// Path below `src/`.
    path: String,
    /// First part of the path.
    top: String,
    text: String,
}

impl Module {
    /// The text without its unit tests (they stand last) and without comments.
    fn code(&self) -> String {
        let is_test_module = |at: &usize| {
            let mut after = self.text[*at..].lines().skip(2).skip_while(|line| line.starts_with("#["));
            after.next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
        };
        let tests = self.text.match_indices("\n#[cfg(test)]\n").map(|(at, _)| at).find(is_test_module);
        self.text[..tests.unwrap_or(self.text.len())].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }
}

/// All modules but those of nothing but tests.
fn modules() -> Vec<Module> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let relative = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                let top = relative.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
                found.push(Module { path: relative, top, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The first name after each occurrence of `prefix`, also of the names in a brace: `crate::{model, report::x}`.
fn names_after(text: &str, prefix: &str) -> Vec<String> {
    let name = |rest: &str| rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(top_level_items(list).iter().map(|item| name(item))),
            None => names.push(name(rest)),
        }
    }
    names
}

/// The items of a brace, split at its own commas.
fn top_level_items(list: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().unwrap().push(c);
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Violations of the arrows in one module.
fn violations(module: &Module) -> Vec<String> {
    if ROOTS.contains(&module.path.as_str()) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module.top) else {
        return vec![format!("{}: the module `{}` has no arrows yet: add it to this test", module.path, module.top)];
    };
    let tops: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let code = module.code();
    let used = ["crate::", "milvus_guard::"].iter().flat_map(|prefix| names_after(&code, prefix));
    // `super::super::policy` leaves a module as `crate::policy` does.
    let climbed = names_after(&code, "super::super::").into_iter().filter(|name| tops.contains(&name.as_str()));
    used.chain(climbed)
        .filter(|name| tops.contains(&name.as_str()) && *name != module.top && !allowed.contains(&name.as_str()))
        .map(|name| format!("{}: `{}` may not use `{name}`", module.path, module.top))
        .collect()
}

#[test]
fn modules_use_only_what_they_may() {
    let found: Vec<String> = modules().iter().flat_map(violations).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_wrong_arrow_is_seen_however_it_is_written() {
    let module = |text: &str| Module { path: "source/x.rs".into(), top: "source".into(), text: text.into() };
    for wrong in ["use crate::policy::Rule;", "use crate::{model, report::text};", "let x = crate::cli::run();", "use super::super::policy;"] {
        assert_eq!(violations(&module(wrong)).len(), 1, "{wrong}");
    }
    for right in ["use crate::model::Place;", "use crate::{model::{report, x}, document};", "// crate::policy", "use mycrate::policy;", "use super::policy;"] {
        assert_eq!(violations(&module(right)), Vec::<String>::new(), "{right}");
    }
}

#[test]
fn only_the_cli_does_io() {
    let banned = ["std::fs", "std::net", "std::process", "std::env::", "std::io::stdin", "std::io::stdout", "std::thread::sleep"];
    let found: Vec<String> = modules()
        .iter()
        .filter(|module| module.top != "cli" && module.path != "main.rs")
        .flat_map(|module| {
            let code = module.code();
            banned.iter().filter(move |name| code.contains(*name)).map(|name| format!("{}: {name}", module.path)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn each_module_says_what_it_is_for_and_none_is_a_mod_rs() {
    let found: Vec<String> = modules().into_iter().filter(|m| !m.text.starts_with("//! ") || m.path.ends_with("mod.rs")).map(|m| m.path).collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_linter_has_no_cluster_client_no_runtime_and_no_tls() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-e", "normal", "-p", "milvus-guard", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(crates.contains(&"annotate-snippets"), "{tree}");
    let found: Vec<&&str> = crates.iter().filter(|name| BANNED.contains(name)).collect();
    assert_eq!(found, Vec::<&&str>::new());
}
