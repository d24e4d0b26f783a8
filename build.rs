//! Checks `policies/` and compiles it into the library: `policies.json` (what judging needs) and `pages.json` (the rule files, for pages and tests).

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script reads files, talks to cargo, and uses a part of the included modules"
)]
#![allow(missing_docs, unreachable_pub, reason = "documented where the library includes the same files")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

#[path = "src/policy/case.rs"]
mod case;
#[path = "src/policy/condition.rs"]
mod condition;
#[path = "src/model/credential.rs"]
mod credential;
#[path = "src/policy/format.rs"]
mod format;
#[path = "src/policy/load.rs"]
mod load;
#[path = "src/model/path.rs"]
mod path;
#[path = "src/policy/tables.rs"]
mod tables;
#[path = "src/policy/text.rs"]
mod text;
#[path = "src/policy/vocabulary.rs"]
mod vocabulary;
#[path = "src/model/words.rs"]
mod words;

/// The twin of `src/policy/bound.rs`: versions by their shape only, so that the model needs not be compiled twice.
mod bound {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    pub struct Chart(String);

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    pub struct Milvus(String);

    impl TryFrom<String> for Chart {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            checked(text).map(Self)
        }
    }

    impl TryFrom<String> for Milvus {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            checked(text).map(Self)
        }
    }

    fn checked(text: String) -> Result<String, String> {
        let numbers = text.split_once('-').map_or(text.as_str(), |(numbers, _)| numbers);
        let good = numbers.split('.').count() == 3 && numbers.split('.').all(|part| part.parse::<u32>().is_ok());
        if good { Ok(text) } else { Err(format!("`{text}` is not a version with three numbers")) }
    }
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=policies");
    println!("cargo::rerun-if-changed=build.rs");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                println!("cargo::error={}", problem.replace('\n', " "));
            }
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), Vec<String>> {
    let one = |problem: String| vec![problem];
    let root = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join("policies");
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let mut files = BTreeMap::new();
    read_folder(&root, "", &mut files).map_err(|error| one(format!("policies/: {error}")))?;
    let bundle = load::load(files.iter().map(|(path, text)| (path.as_str(), text.as_str())))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let pages: BTreeMap<&str, &str> = files.iter().filter_map(|(path, text)| Some((path.strip_prefix("rules/")?.split_once('-')?.0, text.as_str()))).collect();
    let write = |name: &str, json: serde_json::Result<String>| {
        let json = json.map_err(|error| one(error.to_string()))?;
        fs::write(out.join(name), json).map_err(|error| one(format!("{name}: {error}")))
    };
    write("policies.json", serde_json::to_string(&bundle))?;
    write("pages.json", serde_json::to_string(&pages))
}

/// Reads rules and tables; folders that belong to others are left out.
fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if prefix.is_empty() && ["catalogue", "schema"].contains(&name.as_str()) {
                continue;
            }
            read_folder(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}
