//! The one integration test binary: what is true of the library and the program from outside.

mod json_schema;
mod reports;
