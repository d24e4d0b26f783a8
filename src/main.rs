//! Starts `milvus-lint`.

fn main() {}
