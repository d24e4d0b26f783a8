//! What to do when git does not know the revision of `--base`: the exact command that brings it, as far as there is one.

/// Why a text cannot name one commit, in words; nothing where it may.
pub(super) fn malformed(revision: &str) -> Option<String> {
    const UNSET: &str =
        "in a pipeline the variable in it is empty (GitHub sets GITHUB_BASE_REF in pull requests only, GitLab its variables of merge requests likewise)";
    if revision.is_empty() {
        return Some(format!("--base is empty; name a branch, a tag or a commit: {UNSET}"));
    }
    if revision.ends_with('/') {
        return Some(format!("--base `{revision}` lacks the name of the branch: {UNSET}"));
    }
    if revision.contains("..") || revision.starts_with('^') || revision.contains(':') {
        return Some(format!("--base `{revision}` names a range or a path; name one branch, tag or commit: the merge base with HEAD is found from it"));
    }
    let is_odd = revision.starts_with('-') || revision.contains(char::is_whitespace) || revision.contains(char::is_control);
    is_odd.then(|| format!("--base `{revision}` is no revision; name a branch, a tag or a commit"))
}

/// What to do about a revision that is not here; goes on after what failed.
pub(super) fn unknown(revision: &str, remotes: &[String], is_shallow: bool) -> String {
    let Some(default) = default_remote(remotes) else {
        return "; there is no remote to fetch it from: name a branch, a tag or a commit that is here (`git branch --all` lists branches)".to_owned();
    };
    let unshallow = if is_shallow { "--unshallow " } else { "" };
    let branch_of = |remote: &str, branch: &str| format!("git fetch {unshallow}{remote} +refs/heads/{branch}:refs/remotes/{remote}/{branch}");
    let name = revision.strip_prefix("refs/remotes/").unwrap_or(revision);
    if let Some((remote, branch)) = remote_of(name, remotes) {
        return format!("; fetch it first:\n    {}", branch_of(remote, branch));
    }
    if revision.contains(['~', '^', '@']) {
        return match is_shallow {
            true => format!("; fetch the history first:\n    git fetch --unshallow {default}"),
            false => "; the history does not go back that far, or the branch follows no other: `git log --oneline` shows what is here".to_owned(),
        };
    }
    if let Some(tag) = revision.strip_prefix("refs/tags/") {
        return format!("; fetch it first:\n    git fetch {unshallow}{default} +refs/tags/{tag}:refs/tags/{tag}");
    }
    if revision.len() >= 7 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let whole = if revision.len() < 40 { " (by its whole id)" } else { "" };
        return format!("; fetch it first{whole}:\n    git fetch {unshallow}{default} {revision}");
    }
    let branch = revision.strip_prefix("refs/heads/").unwrap_or(revision);
    let (missing, branch) = match branch.split_once('/') {
        Some((remote @ ("origin" | "upstream"), branch)) => {
            let named: Vec<String> = remotes.iter().map(|remote| format!("`{remote}`")).collect();
            (format!("; there is no remote `{remote}` here, but {}", named.join(", ")), branch)
        }
        _ => (String::new(), branch),
    };
    let tag = if missing.is_empty() { format!("\n  and a tag so:\n    git fetch {unshallow}{default} tag {branch}") } else { String::new() };
    format!("{missing}; a branch is fetched and named so:\n    {}\n    --base {default}/{branch}{tag}", branch_of(default, branch))
}

/// The command that brings the history down to the merge base with a revision that is here.
pub(super) fn history(revision: &str, remotes: &[String]) -> String {
    match (remote_of(revision, remotes), default_remote(remotes)) {
        (Some((remote, branch)), _) => format!("git fetch --unshallow {remote} +refs/heads/{branch}:refs/remotes/{remote}/{branch}"),
        (None, Some(remote)) => format!("git fetch --unshallow {remote}"),
        (None, None) => "git fetch --unshallow URL".to_owned(),
    }
}

/// The remote and the branch in `origin/main`; of remotes whose names begin alike the longest.
fn remote_of<'r>(revision: &'r str, remotes: &'r [String]) -> Option<(&'r str, &'r str)> {
    let parts = remotes.iter().filter_map(|remote| Some((remote.as_str(), revision.strip_prefix(remote.as_str())?.strip_prefix('/')?)));
    parts.max_by_key(|(remote, _)| remote.len())
}

fn default_remote(remotes: &[String]) -> Option<&str> {
    remotes.iter().find(|remote| *remote == "origin").or_else(|| remotes.first()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_command(revision: &str, remotes: &[&str], is_shallow: bool) -> String {
        let remotes: Vec<String> = remotes.iter().map(|remote| (*remote).to_owned()).collect();
        let said = unknown(revision, &remotes, is_shallow);
        said.lines().map(str::trim).find(|line| line.starts_with("git ")).unwrap_or(&said).to_owned()
    }

    #[test]
    fn what_is_fetched_is_what_was_named() {
        let origin = &["origin"];
        assert_eq!(first_command("origin/main", origin, false), "git fetch origin +refs/heads/main:refs/remotes/origin/main");
        assert_eq!(first_command("refs/remotes/origin/a/b", origin, true), "git fetch --unshallow origin +refs/heads/a/b:refs/remotes/origin/a/b");
        assert_eq!(first_command("main", origin, false), "git fetch origin +refs/heads/main:refs/remotes/origin/main");
        assert_eq!(first_command("feature/x", &["up"], false), "git fetch up +refs/heads/feature/x:refs/remotes/up/feature/x");
        assert_eq!(first_command("team/a/main", &["team", "team/a"], false), "git fetch team/a +refs/heads/main:refs/remotes/team/a/main");
        assert_eq!(first_command("refs/tags/v1", origin, false), "git fetch origin +refs/tags/v1:refs/tags/v1");
        assert_eq!(first_command("0123abc", origin, false), "git fetch origin 0123abc");
        assert_eq!(first_command("HEAD~9", origin, true), "git fetch --unshallow origin");
        assert!(first_command("HEAD~9", origin, false).starts_with("; the history does not go back that far"));
    }

    #[test]
    fn a_remote_that_is_not_there_is_not_fetched_from() {
        assert!(first_command("origin/main", &[], false).starts_with("; there is no remote"));
        let said = unknown("origin/main", &["mirror".to_owned()], false);
        assert!(said.starts_with("; there is no remote `origin` here, but `mirror`; a branch") && said.ends_with("--base mirror/main"), "{said}");
    }

    #[test]
    fn what_names_no_commit_is_told() {
        for revision in ["", "origin/", "main..x", "a b", "^main", "HEAD:file", "-x"] {
            assert!(malformed(revision).is_some(), "{revision}");
        }
        for revision in ["main", "origin/main", "HEAD~2", "@{u}", "v1.0", "feature/x-1"] {
            assert_eq!(malformed(revision), None);
        }
    }
}
