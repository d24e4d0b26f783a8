//! The programs of others that tests run, built once from the Go module beside this crate.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Cargo's target folder of this workspace.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The folder with `controlplane`, `kubectl`, `helm3` and `helm4`, which are built where that is needed (some minutes from nothing).
/// Nothing where Go is missing, which is said aloud, and an error in CI.
pub fn programs(wanted_by: &str) -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        Command::new("go").arg("version").output().ok()?;
        let script = repository().join(".ci/controlplane");
        let output = Command::new(&script).output().unwrap();
        assert!(output.status.success(), "{} failed:\n{}", script.display(), String::from_utf8_lossy(&output.stderr));
        Some(target_folder().join("controlplane"))
    });
    if built.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{wanted_by} needs Go, and CI has to have it");
        say(&format!("\n*** SKIPPED: {wanted_by}: Go is missing, so there is no control plane. Install Go 1.26 or later. ***\n"));
    }
    built.as_deref()
}

/// Says something that is seen although the test passes: the test harness only holds back what `println!` and its kin write.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
