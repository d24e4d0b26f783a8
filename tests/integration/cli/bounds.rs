//! Hostile trees: nothing hangs, nothing is read without bounds, and what concerns Milvus is told.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::process::Command;

use super::Sandbox;

#[test]
fn pipes_and_links_in_circles_are_told_and_not_followed() {
    let sandbox = Sandbox::new();
    sandbox.write("apps/milvus.yaml", "name: milvus\n").write("other/redis.yaml", "name: redis\n");
    let root = sandbox.path();
    for folder in ["apps", "other"] {
        assert!(Command::new("mkfifo").arg(root.join(folder).join("pipe.yaml")).status().unwrap().success());
        symlink("b.yaml", root.join(folder).join("a.yaml")).unwrap();
        symlink("a.yaml", root.join(folder).join("b.yaml")).unwrap();
        symlink("..", root.join(folder).join("up")).unwrap();
        symlink("/etc/passwd", root.join(folder).join("out.yaml")).unwrap();
    }
    let outcome = sandbox.run(&["check", "--format", "json"]);
    insta::assert_snapshot!(outcome.not_checked().join("\n"), @r"
    apps/a.yaml: MV901: it is a symbolic link that cannot be followed: too many levels of symbolic links; remove it, or point it at a file
    apps/b.yaml: MV901: it is a symbolic link that cannot be followed: too many levels of symbolic links; remove it, or point it at a file
    apps/out.yaml: MV901: it is a symbolic link out of the tree, so it was not followed; copy what it points at into the tree
    apps/pipe.yaml: MV901: it is no regular file (a pipe, a socket or a device), so it was not opened; put a file there
    apps/up: MV901: it is a symbolic link back to a folder above it, so it was not followed; remove it
    ");
}

#[test]
fn a_large_file_is_told_by_its_beginning_alone() {
    let sandbox = Sandbox::new();
    for (name, start) in [("large.yaml", "name: milvus\n"), ("redis.yaml", "name: redis\n")] {
        let mut file = std::fs::File::create(sandbox.path().join(name)).unwrap();
        file.write_all(start.as_bytes()).unwrap();
        file.seek(SeekFrom::Start(1 << 30)).unwrap();
        file.write_all(b"\n").unwrap();
    }
    let outcome = sandbox.run(&["check", "--format", "json"]);
    insta::assert_snapshot!(outcome.not_checked().join("\n"), @"large.yaml: MV905: the file has 1073741825 bytes, more than the limit of 10485760; split it, or raise the limit with --max-file-size");
}

#[test]
fn bytes_that_are_no_text_are_told_where_milvus_stands_in_them() {
    let sandbox = Sandbox::new();
    sandbox.write("latin.yaml", b"name: milvus # gr\xfc\xdfe\n").write("nul.yaml", b"name: milvus\0\n").write("milvus.sh", b"milvus\0\x7fELF");
    sandbox.write("redis.yaml", b"name: redis\xff\n").write("image", b"\x89PNG milvus \xff");
    let wide = |text: &str| -> Vec<u8> { [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect() };
    sandbox.write("wide.yaml", wide("name: milvus\n")).write("milvus/wide.yaml", wide("replicas: 2\n")).write("named.yaml", wide("replicas: 3\n"));
    let outcome = sandbox.run(&["check", "--format", "json"]);
    insta::assert_snapshot!(outcome.not_checked().join("\n"), @r"
    latin.yaml: MV901: the file mentions Milvus, but it is not valid UTF-8; save it as UTF-8
    milvus/wide.yaml: MV901: the file mentions Milvus, but it is UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8
    nul.yaml: MV901: the file mentions Milvus, but it holds NUL bytes, so it is no text; save it as UTF-8 text
    wide.yaml: MV901: the file mentions Milvus, but it is UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8
    ");
    // One that was named is told in any case, whoever wants to read it.
    let named = sandbox.run(&["check", "named.yaml", "--format", "json"]);
    assert_eq!(named.not_checked(), ["named.yaml: MV901: it is UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8"]);
    for arguments in [&["check", "--values", "named.yaml"][..], &["values", "--chart", "4.2.58", "-f", "named.yaml"]] {
        let outcome = sandbox.run(arguments);
        assert!(outcome.stderr.contains("named.yaml`: it is UTF-16 text; convert it to UTF-8"), "{}", outcome.stderr);
    }
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.write("secret/milvus.yaml", "name: milvus\n");
    let folder = sandbox.path().join("secret");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = std::fs::read_dir(&folder).is_ok();
    let outcome = sandbox.run(&["check", "--format", "json"]);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    if is_root {
        eprintln!("skipped: root may look into every folder");
        return;
    }
    assert_eq!(outcome.not_checked(), ["secret: MV901: it cannot be looked into: permission denied; make it readable, or leave it out of the paths"]);
}

#[test]
fn many_documents_and_bombs_end_within_bounds() {
    let sandbox = Sandbox::new();
    sandbox.write("many.yaml", "kind: ConfigMap\nname: milvus\n---\n".repeat(100_000));
    let mut bomb = String::from("milvus: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("k{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(",")));
    }
    sandbox.write("bomb.yaml", bomb).write("deep.yaml", format!("milvus: {}", "[".repeat(100_000)));
    sandbox.write("line.yaml", format!("milvus: \"{}\"", "x".repeat(5 << 20)));
    let outcome = sandbox.run(&["check", "--format", "json"]);
    assert!(outcome.code == 0, "{}", outcome.shown());
}

#[test]
fn hidden_pipelines_are_seen_and_what_git_ignores_is_not() {
    let sandbox = Sandbox::new();
    sandbox.git("", &["init", "-q"]);
    sandbox.write(".gitignore", "ignored/\n").write(".ignore", "*.yaml\n");
    for file in [".github/workflows/a.yml", ".gitlab-ci.yml", ".circleci/config.yml", "deploy.yaml", "ignored/b.yaml", ".git/c.yaml"] {
        sandbox.write(file, b"name: milvus \xff\n");
    }
    let outcome = sandbox.run(&["check", "--format", "json"]);
    let mut files: Vec<String> = outcome.not_checked().iter().map(|gap| gap.split(':').next().unwrap().to_owned()).collect();
    files.sort();
    assert_eq!(files, [".circleci/config.yml", ".github/workflows/a.yml", ".gitlab-ci.yml", "deploy.yaml"]);
}
