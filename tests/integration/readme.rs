//! The README tells the truth: its commands run and end as it promises.

use std::path::Path;
use std::process::{Command, Output};

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The command that stands below the mark `<!-- run: NAME, exit CODE -->`, and the code.
fn marked(readme: &str, name: &str) -> (String, i32) {
    let start = format!("<!-- run: {name}, exit ");
    let mut lines = readme.lines().skip_while(|line| !line.starts_with(&start));
    let mark = lines.next().unwrap_or_else(|| panic!("no command `{name}`"));
    let code = mark[start.len()..].trim_end_matches(" -->").parse().unwrap();
    (lines.nth(1).unwrap().to_owned(), code)
}

/// Runs the program with arguments as a shell would split them; the README's commands need no quotes.
fn milvus_lint(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_milvus-lint")).args(arguments.split_whitespace()).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

#[test]
fn the_example_shows_a_dangerous_pull_request() {
    let (command, code) = marked(&readme(), "example");
    // Other packages of the workspace have programs too.
    let arguments = command.strip_prefix("cargo run --quiet -p milvus-guard -- ").unwrap();
    let output = milvus_lint(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("error[MV205]") && text.contains("^^^^^^"), "{text}");
}

#[test]
fn the_tests_are_run_by_one_command() {
    assert_eq!(marked(&readme(), "tests"), ("cargo test --workspace".to_owned(), 0));
}

/// Lines `milvus-lint ...` in fences that begin with ```` ```sh run ````; `# exit N` behind one tells its code.
#[test]
fn each_runnable_example_ends_as_promised() {
    let readme = readme();
    let blocks: Vec<&str> = readme.split("```sh run\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let commands: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).filter(|line| !line.trim().is_empty()).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for line in commands {
        let (command, code) = line.split_once("# exit ").map_or((line, 0), |(command, code)| (command, code.trim().parse().unwrap()));
        let command = command.split(" #").next().unwrap();
        let output = milvus_lint(command.trim().strip_prefix("milvus-lint ").unwrap_or_else(|| panic!("{line}")));
        assert_eq!(output.status.code(), Some(code), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
