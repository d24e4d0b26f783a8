//! Real code of others to compare with, built from Go modules (`tests/e2e/controlplane`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with `controlplane`, `helm3` and `helm4`, built once; nothing where Go is missing, which is said aloud (and fails in CI).
pub(crate) fn programs(wanted_by: &str) -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if Command::new("go").arg("version").output().is_err() {
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/controlplane");
        let output = Command::new(&script).output().unwrap();
        assert!(output.status.success(), "{} failed:\n{}", script.display(), String::from_utf8_lossy(&output.stderr));
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
        Some(target.join("controlplane"))
    });
    if built.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{wanted_by} needs Go, and CI has to have it");
        say(&format!("\n*** SKIPPED: {wanted_by}: Go is missing, so there is no real Helm to compare with. Install Go 1.26 or later. ***\n"));
    }
    built.as_deref()
}

/// Says something that is seen although the test passes: the test harness only holds back what `println!` and its kin write.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
