//! `--base`: comparisons in real repositories.

use super::{Sandbox, helm_release};

/// A repository with one commit.
fn repository(files: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("repo/README", "");
    sandbox.git("repo", &["init", "-q"]);
    for (file, text) in files {
        sandbox.write(&format!("repo/{file}"), text);
    }
    sandbox.commit("repo", "first");
    sandbox
}

#[test]
fn a_branch_is_compared_with_where_it_began() {
    let sandbox = repository(&[("apps/milvus.yaml", &helm_release("4.2.58"))]);
    let first = sandbox.git("repo", &["rev-parse", "HEAD"]);
    sandbox.git("repo", &["checkout", "-q", "-b", "bump"]);
    sandbox.write("repo/apps/milvus.yaml", helm_release("5.0.19"));
    sandbox.commit("repo", "bump");
    sandbox.git("repo", &["checkout", "-q", "main"]);
    sandbox.write("repo/apps/milvus.yaml", helm_release("4.2.59"));
    sandbox.commit("repo", "meanwhile");
    sandbox.git("repo", &["checkout", "-q", "bump"]);
    for folder in ["repo", "repo/apps"] {
        let outcome = sandbox.run_in(folder, &["check", "--base", "main", "--format", "json"], b"");
        assert_eq!(outcome.json()["base"], first.trim(), "{}", outcome.shown());
    }
}

#[test]
fn a_revision_that_git_does_not_know_is_told_with_the_command_that_brings_it() {
    let sandbox = repository(&[("milvus.yaml", "name: milvus\n")]);
    sandbox.git("repo", &["remote", "add", "origin", "https://example.com/x.git"]);
    insta::assert_snapshot!(sandbox.run_in("repo", &["check", "--base", "origin/main"], b"").stderr, @r"
    error: git knows no commit `origin/main` in `@@/repo`; fetch it first:
        git fetch origin +refs/heads/main:refs/remotes/origin/main
    ");
    insta::assert_snapshot!(sandbox.run_in("repo", &["check", "--base", "--upload-pack=x"], b"").stderr, @r"
    error: unexpected argument '--upload-pack' found

      tip: to pass '--upload-pack' as a value, use '-- --upload-pack'

    Usage: milvus-lint check [OPTIONS] [PATH]...

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(sandbox.run(&["check", "--base", "main"]).stderr, @"error: --base needs a git work tree, and `@@` is in none; run it in a clone, or give the state before with --before");
}

#[test]
fn a_shallow_clone_is_told_what_to_fetch() {
    let sandbox = repository(&[("milvus.yaml", "name: milvus\n")]);
    sandbox.git("repo", &["checkout", "-q", "-b", "bump"]);
    sandbox.commit("repo", "second");
    sandbox.git("repo", &["checkout", "-q", "main"]);
    sandbox.commit("repo", "meanwhile");
    let url = format!("file://{}", sandbox.path().join("repo").display());
    sandbox.git("", &["clone", "-q", "--depth=1", "--no-single-branch", &url, "clone"]);
    sandbox.git("clone", &["checkout", "-q", "bump"]);
    let outcome = sandbox.run_in("clone", &["check", "--base", "origin/main"], b"");
    insta::assert_snapshot!(outcome.shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: `origin/main` and HEAD have no merge base here, since this clone is shallow; fetch the history first:
        git fetch --unshallow origin +refs/heads/main:refs/remotes/origin/main
    ");
    let command = outcome.stderr.lines().map(str::trim).find(|line| line.starts_with("git fetch")).unwrap();
    sandbox.git("clone", &command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(sandbox.run_in("clone", &["check", "--base", "origin/main"], b"").code, 0);
}

#[test]
fn a_repository_without_a_commit_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", "name: milvus\n");
    sandbox.git("", &["init", "-q"]);
    insta::assert_snapshot!(sandbox.run(&["check", "--base", "HEAD"]).stderr, @"error: the current branch of `@@` has no commit yet, so there is nothing to compare; commit first, or leave --base out");
}

#[test]
fn worktrees_and_the_environment_of_a_hook_do_no_harm() {
    let sandbox = repository(&[("milvus.yaml", "name: milvus\n")]);
    let first = sandbox.git("repo", &["rev-parse", "HEAD"]);
    sandbox.git("repo", &["worktree", "add", "-q", "-b", "bump", "../other"]);
    sandbox.write("other/milvus.yaml", "name: milvus2\n");
    let elsewhere =
        [("GIT_DIR", "/nowhere"), ("GIT_INDEX_FILE", "/nowhere/index"), ("GIT_WORK_TREE", "/"), ("GIT_EXTERNAL_DIFF", "false"), ("GIT_PAGER", "false")];
    let outcome = sandbox.run_with("other", &["check", "--base", "main", "--format", "json"], &elsewhere);
    assert_eq!((&outcome.json()["base"], &outcome.json()["summary"]["files"]), (&first.trim().into(), &serde_json::json!(2)), "{}", outcome.shown());
}

#[test]
fn nothing_of_the_repository_runs_a_program() {
    let sandbox = repository(&[("milvus.yaml", "name: milvus\n")]);
    let mark = sandbox.path().join("ran");
    let script = format!("#!/bin/sh\ntouch {}\ncat\n", mark.display());
    sandbox.write("evil.sh", script);
    let evil = sandbox.path().join("evil.sh");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&evil, std::fs::Permissions::from_mode(0o755)).unwrap();
    let evil = evil.to_str().unwrap();
    for (key, value) in [("core.fsmonitor", evil), ("diff.external", evil), ("core.pager", evil), ("diff.x.textconv", evil), ("diff.x.command", evil)] {
        sandbox.git("repo", &["config", key, value]);
    }
    sandbox.write("repo/.gitattributes", "*.yaml diff=x\n").write("repo/.git/hooks/post-index-change", format!("#!/bin/sh\n{evil}\n"));
    std::fs::set_permissions(sandbox.path().join("repo/.git/hooks/post-index-change"), std::fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.write("repo/milvus.yaml", "name: milvus2\n");
    let _ = std::fs::remove_file(&mark);
    let outcome = sandbox.run_in("repo", &["check", "--base", "HEAD"], b"");
    assert_eq!(outcome.code, 0, "{}", outcome.shown());
    assert!(!mark.exists());
}

#[test]
fn objects_that_are_missing_broken_or_too_large_are_told() {
    let large = format!("name: milvus\n{}", "# comment\n".repeat(2000));
    let sandbox =
        repository(&[("gone.yaml", "name: milvus-gone\n"), ("large.yaml", &large), ("broken.yaml", "name: milvus-broken\n"), ("nul.yaml", "milvus \0")]);
    for file in ["gone", "broken"] {
        let id = sandbox.git("repo", &["rev-parse", &format!("HEAD:{file}.yaml")]);
        let (folder, name) = id.trim().split_at(2);
        let object = sandbox.path().join("repo/.git/objects").join(folder).join(name);
        std::fs::remove_file(&object).unwrap();
        if file == "broken" {
            std::fs::write(&object, "this is no object").unwrap();
        }
    }
    for file in ["gone", "broken", "large", "nul"] {
        sandbox.write(&format!("repo/{file}.yaml"), "name: milvus\n");
    }
    let outcome = sandbox.run_in("repo", &["check", "--base", "HEAD", "--max-file-size", "10K", "--format", "json"], b"");
    insta::assert_snapshot!(outcome.not_checked().join("\n"), @r"
    broken.yaml: MV901: before the change: the file cannot be read: this clone does not have the object; run `git fetch --refetch`
    gone.yaml: MV901: before the change: the file cannot be read: this clone does not have the object; run `git fetch --refetch`
    large.yaml: MV905: before the change: the file has 20013 bytes, more than the limit of 10240; split it, or raise the limit with --max-file-size
    nul.yaml: MV901: before the change: the file cannot be read: it holds NUL bytes, so it is no text; save it as UTF-8 text
    ");
}

#[test]
fn tracked_files_that_git_would_ignore_are_on_both_sides() {
    let sandbox = repository(&[("old/milvus.yaml", &helm_release("4.2.58"))]);
    sandbox.write("repo/.gitignore", "old/\nnew/\n").write("repo/new/milvus.yaml", helm_release("4.2.58"));
    sandbox.git("repo", &["add", "-f", "new/milvus.yaml"]);
    let outcome = sandbox.run_in("repo", &["check", "--base", "HEAD", "--format", "json"], b"");
    // `.gitignore`, `README` and both releases.
    assert_eq!(outcome.json()["summary"]["files"], 4, "{}", outcome.shown());
}

#[test]
fn histories_that_never_met_are_told() {
    let sandbox = repository(&[("milvus.yaml", "name: milvus\n")]);
    sandbox.git("repo", &["checkout", "-q", "--orphan", "other"]);
    sandbox.commit("repo", "other");
    insta::assert_snapshot!(sandbox.run_in("repo", &["check", "--base", "main"], b"").stderr, @"error: `main` and HEAD have no common history; name a revision that the branch started from");
}

#[test]
fn a_submodule_that_stays_is_unchanged_and_one_that_moves_is_partly_checked() {
    let sandbox = repository(&[("milvus.yaml", &helm_release("4.2.48"))]);
    sandbox.write("outer/README", "");
    sandbox.git("outer", &["init", "-q"]);
    let url = sandbox.path().join("repo");
    sandbox.git("outer", &["submodule", "--quiet", "add", url.to_str().unwrap(), "deploy"]);
    sandbox.commit("outer", "with submodule");
    let unchanged = sandbox.run_in("outer", &["check", "--base", "HEAD", "--format", "json"], b"");
    assert_eq!(unchanged.json()["summary"]["changes"], 0, "{}", unchanged.shown());
    sandbox.write("outer/deploy/milvus.yaml", helm_release("5.0.19"));
    sandbox.commit("outer/deploy", "bump");
    let moved = sandbox.run_in("outer", &["check", "--base", "HEAD", "--format", "json"], b"");
    insta::assert_snapshot!(moved.not_checked().join("\n"), @"deploy: MV902: before the change: the submodule moved to another commit; what its files were before is not in this repository: run the check in the submodule");
}

#[test]
fn links_lead_to_what_they_led_to_before() {
    let chart = "apiVersion: v2\nname: search\nversion: 1.0.0\ndependencies:\n  - name: milvus\n    version: 5.0.19\n    repository: https://zilliztech.github.io/milvus-helm/\n";
    let values = |tag: &str| format!("milvus:\n  image:\n    all:\n      tag: {tag}\n");
    let sandbox = repository(&[("search/Chart.yaml", chart), ("shared/values.yaml", &values("v2.5.8"))]);
    std::os::unix::fs::symlink("../shared/values.yaml", sandbox.path().join("repo/search/values.yaml")).unwrap();
    sandbox.commit("repo", "link");
    sandbox.write("repo/shared/values.yaml", values("v2.6.15"));
    let outcome = sandbox.run_in("repo", &["check", "--base", "HEAD", "--format", "json"], b"");
    assert!(outcome.json()["findings"].as_array().unwrap().iter().any(|finding| finding["rule"] == "MV205"), "{}", outcome.shown());
}

#[test]
fn what_moves_is_compared_with_what_it_was() {
    let chart = |version: &str| {
        format!(
            "apiVersion: v2\nname: search\nversion: 1.0.0\ndependencies:\n- {{name: milvus, version: {version}, repository: https://zilliztech.github.io/milvus-helm/}}\n"
        )
    };
    let sandbox = repository(&[("charts/search/Chart.yaml", &chart("4.1.24")), ("clusters/dev/milvus.yaml", &helm_release("4.1.24"))]);
    sandbox.git("repo", &["mv", "charts/search", "vectors"]);
    sandbox.write("repo/vectors/Chart.yaml", chart("5.0.19"));
    let moved = sandbox.run_in("repo", &["check", "--base", "HEAD", "--format", "json"], b"");
    assert!(moved.json()["findings"].as_array().unwrap().iter().any(|finding| finding["rule"] == "MV205"), "{}", moved.shown());
    // Another environment is another release, or not.
    sandbox.commit("repo", "moved");
    sandbox.git("repo", &["rm", "-q", "clusters/dev/milvus.yaml"]);
    sandbox.write("repo/clusters/prod/milvus.yaml", helm_release("5.0.19"));
    let replaced = sandbox.run_in("repo", &["check", "--base", "HEAD", "--format", "json"], b"");
    assert!(!replaced.json()["findings"].as_array().unwrap().iter().any(|finding| finding["rule"] == "MV205"), "{}", replaced.shown());
    assert!(replaced.not_checked()[0].contains("was not compared with the one that was removed in clusters/dev/milvus.yaml"), "{}", replaced.shown());
}

#[test]
fn a_release_that_moves_into_the_folder_is_compared() {
    let sandbox = repository(&[("legacy/milvus.yaml", &helm_release("4.2.20")), ("apps/README", "")]);
    sandbox.git("repo", &["checkout", "-q", "-b", "move"]);
    sandbox.git("repo", &["rm", "-q", "legacy/milvus.yaml"]);
    sandbox.write("repo/apps/milvus.yaml", helm_release("5.0.19"));
    sandbox.commit("repo", "move");
    let json = sandbox.run_in("repo", &["check", "apps", "--base", "main", "--format", "json"], b"").json();
    let rules: Vec<&str> = json["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"MV205"), "{rules:?}");
    assert_eq!((&json["summary"]["releases"], &json["summary"]["changes"]), (&1.into(), &1.into()));
}

#[test]
fn a_release_that_changes_its_form_is_compared_and_what_it_had_stays_pre_existing() {
    let script = "helm repo add zilliztech https://zilliztech.github.io/milvus-helm/\nhelm upgrade vectors zilliztech/milvus --version 4.2.58 -f values.yaml\n";
    let sandbox = repository(&[("up.sh", script), ("values.yaml", "cluster:\n  enabled: true\n")]);
    sandbox.git("repo", &["checkout", "-q", "-b", "flux"]);
    sandbox.git("repo", &["rm", "-q", "up.sh", "values.yaml"]);
    sandbox.write("repo/milvus.yaml", helm_release("4.2.58"));
    sandbox.commit("repo", "flux");
    let outcome = sandbox.run_in("repo", &["check", "--base", "main", "--format", "json"], b"");
    let json = outcome.json();
    let bad = json["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "MV215").unwrap();
    assert_eq!(bad["baseline"], "pre-existing", "{}", outcome.shown());
    // The script left the namespace to its context: that is no move.
    assert!(!json["findings"].as_array().unwrap().iter().any(|finding| finding["rule"] == "MV509"), "{}", outcome.shown());
    assert_eq!((&json["summary"]["changes"], &json["summary"]["not_checked"]), (&1.into(), &0.into()));
}
