//! Exit codes: an interface that scripts rely on.

/// Findings at or above `--fail-on`.
pub(crate) const FINDINGS: u8 = 1;
/// Wrong usage, or something could not be read or written.
pub(crate) const FAILED: u8 = 2;
/// No Milvus release found although `--require-milvus` was given.
pub(crate) const NO_MILVUS: u8 = 3;
