//! Text with spans: what people write, read tolerantly, each part with its place. Knows nothing of Milvus.

pub mod extract;
pub mod lines;
pub mod scalar;
pub mod script;
pub mod shell;
pub mod template;
pub mod yaml;
